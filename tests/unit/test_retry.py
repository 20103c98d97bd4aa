"""How a batch is carried to its end: retried, bisected, given up, or handed back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from shared.contracts.transfer import TransferRefused
from shared.database import is_transient
from shared.errors import TransientError, Unavailable
from shared.messaging.publisher import Emission
from shared.messaging.retry import (
    LOCKS_MET_MAX,
    Attempt,
    Handler,
    LockHeld,
    NotGivenUp,
    ServerDown,
    carry,
    locked_out_at_once,
)


def item(number: int) -> TransferRefused:
    return TransferRefused(transfer_id=UUID(int=number), fingerprint="f")


class Desk:
    """Carries items unless told what to raise; writes down what it was asked."""

    def __init__(self, trouble: Callable[[Sequence[int], Attempt], Exception | None], *, writable: bool = True) -> None:
        self._trouble = trouble
        self._writable = writable
        self.tries: list[tuple[list[int], int]] = []
        self.carried: list[int] = []
        self.given_up: list[tuple[int, str, int]] = []

    async def work(self, items: Sequence[TransferRefused], attempt: Attempt) -> Emission:
        numbers = [one.transfer_id.int for one in items]
        self.tries.append((numbers, attempt.retries))
        if error := self._trouble(numbers, attempt):
            raise error
        self.carried += numbers
        return Emission(events=items)

    async def give_up(self, one: TransferRefused, error: Exception, attempt: Attempt) -> Emission:
        self.given_up.append((one.transfer_id.int, type(error).__name__, attempt.retries))
        return Emission(events=[one])

    async def _is_writable(self) -> bool:
        return self._writable

    def handler(self) -> Handler[TransferRefused]:
        return Handler(
            name="work",
            work=self.work,
            give_up=self.give_up,
            is_transient=is_transient,
            is_writable=self._is_writable,
            waits_s=(0.0, 0.0, 0.0),
        )


async def test_a_transient_error_is_retried_with_the_whole_batch() -> None:
    desk = Desk(lambda _, attempt: TransientError() if attempt.retries < 2 else None)
    await carry(desk.handler(), [item(1), item(2)])
    assert desk.tries == [([1, 2], 0), ([1, 2], 1), ([1, 2], 2)]


async def test_one_attempt_and_three_retries_then_the_bad_item_is_found_by_bisection() -> None:
    desk = Desk(lambda numbers, _: TransientError() if 3 in numbers else None)
    emission = await carry(desk.handler(), [item(number) for number in range(1, 6)])
    assert desk.tries[:4] == [([1, 2, 3, 4, 5], retries) for retries in range(4)]
    assert sorted(desk.carried) == [1, 2, 4, 5]
    assert desk.given_up == [(3, "TransientError", 3)]
    assert [event.event_id for event in emission.events] == [item(number).event_id for number in range(1, 6)]


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_what_fails_only_until_the_database_answers_again_is_carried(size: int) -> None:
    """As when the answers to four COMMITs are lost, and the probe's is not."""
    answers = iter([TransientError()] * 4)
    desk = Desk(lambda *_: next(answers, None))
    await carry(desk.handler(), [item(number) for number in range(size)])
    assert desk.carried == list(range(size))
    assert desk.given_up == []


async def test_an_item_alone_is_given_up_when_it_fails_beside_a_database_that_answers() -> None:
    desk = Desk(lambda *_: TransientError())
    await carry(desk.handler(), [item(1)])
    assert desk.tries == [([1], retries) for retries in (0, 1, 2, 3, 3)]
    assert desk.given_up == [(1, "TransientError", 3)]


async def test_an_unknown_error_is_not_retried_but_bisected() -> None:
    desk = Desk(lambda numbers, _: ZeroDivisionError() if 1 in numbers else None)
    await carry(desk.handler(), [item(1), item(2)])
    assert [retries for _, retries in desk.tries] == [0, 0, 0]
    assert desk.given_up == [(1, "ZeroDivisionError", 0)]


async def test_nothing_is_failed_because_a_server_is_down() -> None:
    desk = Desk(lambda *_: TransientError(), writable=False)
    with pytest.raises(ServerDown):
        await carry(desk.handler(), [item(1), item(2)])
    assert desk.given_up == []


async def test_an_error_of_the_server_is_never_the_items_fault() -> None:
    """A missing table or a lost server is waited for, even while a probe can be written."""
    desk = Desk(lambda *_: Unavailable())
    with pytest.raises(ServerDown):
        await carry(desk.handler(), [item(1)])
    assert desk.given_up == []


async def test_an_item_whose_failure_cannot_be_written_goes_back_and_counts() -> None:
    desk = Desk(lambda *_: ZeroDivisionError())

    async def cannot(*_: object) -> Emission:
        raise OSError("cannot be written")

    with pytest.raises(NotGivenUp):
        await carry(replace(desk.handler(), give_up=cannot), [item(1), item(2)])


def held() -> Exception:
    return asyncpg.LockNotAvailableError("canceling statement due to lock timeout")


def ids_of(items: Sequence[object]) -> list[int]:
    return [one.transfer_id.int for one in items if isinstance(one, TransferRefused)]


async def test_an_item_that_meets_a_held_lock_is_never_given_up() -> None:
    """However long a frozen session keeps it: the item is tried four times, and goes back."""
    desk = Desk(lambda *_: held())
    with pytest.raises(ServerDown):
        await carry(desk.handler(), [item(1)])
    assert desk.tries == [([1], retries) for retries in range(4)]
    assert desk.given_up == []


async def test_a_held_lock_stops_only_the_items_that_need_it() -> None:
    desk = Desk(lambda numbers, _: held() if 3 in numbers else None)
    with pytest.raises(LockHeld) as stopped:
        await carry(desk.handler(), [item(number) for number in range(1, 6)])
    assert sorted(desk.carried) == [1, 2, 4, 5]
    assert ids_of(stopped.value.items) == [3]
    assert ids_of(stopped.value.emission.events) == [1, 2, 4, 5]
    assert desk.given_up == []


async def test_beside_a_held_lock_an_item_that_fails_by_itself_is_given_up() -> None:
    def trouble(numbers: Sequence[int], _: Attempt) -> Exception | None:
        return held() if 1 in numbers else ZeroDivisionError() if 4 in numbers else None

    desk = Desk(trouble)
    with pytest.raises(LockHeld) as stopped:
        await carry(desk.handler(), [item(number) for number in range(1, 6)])
    assert ids_of(stopped.value.items) == [1]
    assert sorted(desk.carried) == [2, 3, 5]
    assert [number for number, _, _ in desk.given_up] == [4]


async def test_where_many_need_what_is_locked_the_search_for_the_others_ends() -> None:
    """Each part waits for the lock: a thousand of them would keep the batch for an hour."""
    desk = Desk(lambda *_: held())
    with pytest.raises(LockHeld) as stopped:
        await carry(desk.handler(), [item(number) for number in range(1, 1_001)])
    assert ids_of(stopped.value.items) == list(range(1, 1_001))
    # The ladder has met it three times more.
    assert len(desk.tries) == 3 + LOCKS_MET_MAX + 1


async def test_one_locked_item_among_two_thousand_is_found() -> None:
    desk = Desk(lambda numbers, _: held() if 1_234 in numbers else None)
    with pytest.raises(LockHeld) as stopped:
        await carry(desk.handler(), [item(number) for number in range(2_000)])
    assert ids_of(stopped.value.items) == [1_234]
    assert len(desk.carried) == 1_999


async def test_an_item_whose_end_cannot_be_written_for_a_held_lock_goes_back_and_does_not_count() -> None:
    async def cannot(*_: object) -> Emission:
        raise held()

    desk = Desk(lambda *_: ZeroDivisionError())
    with pytest.raises(LockHeld):
        await carry(replace(desk.handler(), give_up=cannot), [item(1)])


async def test_a_replay_of_an_item_that_meets_a_held_lock_goes_back_too() -> None:
    """It carries the item inside its own handler, and must not close or keep the letter for it."""
    inner = Desk(lambda *_: held())

    class Outer(Desk):
        async def work(self, items: Sequence[TransferRefused], attempt: Attempt) -> Emission:
            return await carry(inner.handler(), [item(7)])

    outer = Outer(lambda *_: None)
    with pytest.raises(LockHeld) as stopped:
        await carry(outer.handler(), [item(1)])
    assert ids_of(stopped.value.items) == [1]
    assert outer.given_up == []


async def test_behind_one_that_has_waited_for_a_lock_the_next_waits_once() -> None:
    desk = Desk(lambda *_: held())
    with pytest.raises(LockHeld):
        await carry(locked_out_at_once(desk.handler()), [item(1)])
    assert desk.tries == [([1], 0)]
    desk = Desk(lambda *_: TransientError())
    await carry(locked_out_at_once(desk.handler()), [item(1)])
    assert [retries for _, retries in desk.tries] == [0, 1, 2, 3, 3]
