"""What a consumer tells of itself, and how it hangs on without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import asyncpg
import pytest

from shared.contracts.gateway import TransferRequested
from shared.database import is_transient
from shared.errors import TransientError
from shared.messaging import consumer as module
from shared.messaging.connection import Link
from shared.messaging.consumer import FOLLOWING_APART_S, SCREENING_APART_S, Bounds, Consumer, described
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.deliveries import Delivery
from shared.messaging.publisher import Emission
from shared.messaging.retry import LOCKS_MET_MAX, Handler, LockHeld, ServerDown
from tests.support.builders import requested


@pytest.fixture
def consumer() -> Consumer:
    nobody: Any = None
    return Consumer(Link("amqp://nobody", name="test"), nobody, nobody, "test.queue", {})


def test_one_without_a_stream_has_nothing_in_hand(consumer: Consumer) -> None:
    assert consumer.unacknowledged == 0


async def test_what_goes_on_failing_is_asked_less_and_less_often(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def up() -> None:
        pass

    async def fails() -> None:
        raise TransientError("again")

    async def paused(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 8:
            consumer.stop()

    monkeypatch.setattr(consumer._link, "wait_up", up)
    monkeypatch.setattr(consumer, "_session", fails)
    monkeypatch.setattr(asyncio, "sleep", paused)
    await asyncio.create_task(consumer.run())
    first, most = module._PAUSE_FIRST_S, module._PAUSE_MAX_S
    assert pauses == [min(first * 2**n, most) for n in range(8)]
    assert pauses[-1] == most


async def test_a_batch_that_was_carried_ends_the_long_pauses(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any, **__: Any) -> Emission:
        return Emission()

    message: Any = SimpleNamespace(delivery_tag=1, ack=nothing)
    channel: Any = SimpleNamespace(is_closed=False)
    monkeypatch.setattr(consumer, "_carry", nothing)
    monkeypatch.setattr(consumer, "_publisher", SimpleNamespace(emit=nothing))
    consumer._pause_s = module._PAUSE_MAX_S
    assert await asyncio.create_task(consumer._finish(channel, [Delivery(message, [], [])], 0)) == 1
    assert consumer._pause_s == module._PAUSE_FIRST_S


async def test_what_is_being_carried_is_in_hand(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's page tells so of a worker that stands still with a batch."""
    in_hand: list[int] = []

    async def carries(*_: Any) -> Emission:
        in_hand.append(consumer.unacknowledged)
        return Emission()

    async def nothing(*_: Any, **__: Any) -> None:
        pass

    messages: list[Any] = [SimpleNamespace(delivery_tag=n, ack=nothing) for n in (1, 2)]
    channel: Any = SimpleNamespace(is_closed=False)
    monkeypatch.setattr(consumer, "_carry", carries)
    monkeypatch.setattr(consumer, "_publisher", SimpleNamespace(emit=nothing))
    deliveries = [Delivery(message, [], []) for message in messages]
    await asyncio.create_task(consumer._finish(channel, deliveries, 0))
    assert [*in_hand, consumer.unacknowledged] == [2, 0]


def _singles(count: int) -> list[Any]:
    return [Delivery(SimpleNamespace(), [requested()], []) for _ in range(count)]  # type: ignore[arg-type]


def test_what_nobody_waits_for_is_carried_twenty_times_a_second_at_most(consumer: Consumer) -> None:
    """Also under a single caller, whose next call needs the processors."""
    consumer._bounds = Bounds(prefetch_max=32, apart_s_min=FOLLOWING_APART_S)
    assert consumer._apart_s(_singles(1)) == consumer._apart_s(_singles(31)) == FOLLOWING_APART_S


def test_no_pause_bounds_what_is_carried_a_second(consumer: Consumer) -> None:
    """Where the broker has delivered all that it may, more waits there."""
    consumer._bounds = Bounds(prefetch_max=8, apart_s_min=FOLLOWING_APART_S, apart_s_max=1.0)
    assert consumer._apart_s(_singles(8)) == 0


def test_what_callers_wait_for_is_carried_at_once_after_one(consumer: Consumer) -> None:
    consumer._bounds = Bounds(apart_s_max=SCREENING_APART_S)
    assert [consumer._apart_s(_singles(count)) for count in (1, 2, 31)] == [0, 0.001, SCREENING_APART_S]


class _Gone:
    """A database that fails in the middle of a transaction, as the driver tells it; after so many that it commits."""

    def __init__(self, error: Exception, *, commits: int = 0) -> None:
        self._error = error
        self._commits = commits

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        if not self._commits:
            raise self._error
        self._commits -= 1
        yield SimpleNamespace(execute=_nothing, fetchval=_one)


async def _nothing(*_: Any, **__: Any) -> Emission:
    return Emission()


async def _one(*_: Any) -> int:
    return 1


_LOSSES = (
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    asyncpg.AdminShutdownError("terminating connection due to administrator command"),
    asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    asyncpg.InterfaceError("connection is closed"),
    ConnectionResetError("reset"),
    TimeoutError(),
)


@pytest.mark.parametrize("error", _LOSSES, ids=lambda error: type(error).__name__)
async def test_what_cannot_be_parked_goes_back(consumer: Consumer, error: Exception) -> None:
    """Acknowledged it would be gone for good; and PostgreSQL that restarts just then ends no worker."""
    database: Any = _Gone(error)
    consumer._dead_letters = DeadLetters(database)
    with pytest.raises(ServerDown):
        await consumer._park([])


@pytest.mark.parametrize("error", _LOSSES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("commits", [0, 1], ids=["before the try", "after it"])
async def test_an_item_goes_back_whose_tries_cannot_be_counted_or_forgotten(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, error: Exception, commits: int
) -> None:
    item, database = requested(), _Gone(error, commits=commits)
    gone: Any = database
    consumer._dead_letters, consumer._handlers = DeadLetters(gone), {item.TYPE: Mock()}
    monkeypatch.setattr(consumer, "_carry_run", _nothing)
    with pytest.raises(ServerDown):
        await consumer._carry_alone(item)


@pytest.mark.parametrize("error", _LOSSES, ids=lambda error: type(error).__name__)
async def test_a_try_that_cannot_be_taken_back_leaves_the_server_to_be_waited_for(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    item, gone = requested(), _Gone(error, commits=1)

    async def down(*_: Any) -> Emission:
        raise ServerDown

    database: Any = gone
    consumer._dead_letters, consumer._handlers = DeadLetters(database), {item.TYPE: Mock()}
    monkeypatch.setattr(consumer, "_carry_run", down)
    with pytest.raises(ServerDown):
        await consumer._carry_alone(item)


async def test_the_tries_of_an_item_are_forgotten_when_it_was_carried_alone(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be parked for tries that are long over, should it ever come back."""
    item, forgotten = requested(), list[UUID]()

    async def counted(_: UUID) -> int:
        return 1

    async def forgets(event_id: UUID) -> None:
        forgotten.append(event_id)

    async def carries(*_: Any) -> Emission:
        return Emission()

    monkeypatch.setattr(consumer, "_dead_letters", SimpleNamespace(count_try=counted, forget=forgets))
    monkeypatch.setattr(consumer, "_carry_run", carries)
    consumer._handlers = {item.TYPE: Mock()}
    await consumer._carry_alone(item)
    assert forgotten == [item.event_id]


class _Tries:
    """The table of attempts."""

    def __init__(self) -> None:
        self.tries: dict[UUID, int] = {}

    async def count_try(self, event_id: UUID) -> int:
        self.tries[event_id] = self.tries.get(event_id, 0) + 1
        return self.tries[event_id]

    async def discount_try(self, event_id: UUID) -> None:
        self.tries[event_id] -= 1

    async def forget(self, event_id: UUID) -> None:
        del self.tries[event_id]


class _Round:
    """One batch through a consumer: what needs what is locked, what is acknowledged, what is told."""

    def __init__(self, consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.locked: set[UUID] = set()
        self.works: list[list[UUID]] = []
        self.told: list[UUID] = []
        self.acknowledged: list[int] = []
        self.tries = _Tries()
        self._consumer = consumer
        handler: Handler[TransferRequested] = Handler(
            name="work", work=self._work, give_up=self._give_up, is_transient=is_transient, is_writable=self._writes,
            waits_s=(0.0, 0.0, 0.0),
        )  # fmt: skip
        consumer._handlers = {TransferRequested.TYPE: handler}
        monkeypatch.setattr(consumer, "_dead_letters", self.tries)
        monkeypatch.setattr(consumer, "_publisher", SimpleNamespace(emit=self._emit))

    async def _work(self, items: Sequence[TransferRequested], _: Any) -> Emission:
        self.works.append([item.event_id for item in items])
        if self.locked.intersection(self.works[-1]):
            raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
        return Emission(events=items)

    async def _give_up(self, *_: Any) -> Emission:
        raise AssertionError("nothing is given up for a lock")

    async def _writes(self) -> bool:
        return True

    async def _emit(self, emission: Emission) -> None:
        self.told += [item.event_id for item in emission.events]

    def _ack(self, tag: int) -> Callable[..., Awaitable[None]]:
        async def ack(*, multiple: bool = False) -> None:
            self.acknowledged += range(1, tag + 1) if multiple else [tag]

        return ack

    async def finish(self, *messages: Sequence[TransferRequested], redeliveries: int = 0) -> None:
        headers = {"x-delivery-count": redeliveries}
        batch: list[Any] = [
            Delivery(
                SimpleNamespace(delivery_tag=tag, ack=self._ack(tag), headers=headers),  # type: ignore[arg-type]
                list(items),
                [],
            )
            for tag, items in enumerate(messages, 1)
        ]
        channel: Any = SimpleNamespace(is_closed=False)
        await asyncio.create_task(_finished(self._consumer, channel, batch))


async def _finished(consumer: Consumer, channel: Any, batch: list[Any]) -> None:
    await consumer._finish(channel, batch, 0)


@pytest.mark.parametrize("redeliveries", [0, 2], ids=["together", "alone"])
async def test_only_messages_that_meet_a_held_lock_come_again(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, redeliveries: int
) -> None:
    """The others are told and acknowledged, so that what one frozen worker locks stops nobody else; no try counts."""
    round_ = _Round(consumer, monkeypatch)
    first, second, locked, last = (requested() for _ in range(4))
    round_.locked = {locked.event_id}
    with pytest.raises(LockHeld):
        await round_.finish([first], [second, locked], [last], redeliveries=redeliveries)
    assert round_.told == [first.event_id, second.event_id, last.event_id]
    assert round_.acknowledged == [1, 3]
    assert not any(round_.tries.tries.values())
    assert consumer._pause_s == module._PAUSE_FIRST_S


async def test_when_the_lock_is_gone_the_rest_is_carried(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    round_ = _Round(consumer, monkeypatch)
    item = requested()
    round_.locked = {item.event_id}
    for _ in range(5):
        with pytest.raises(LockHeld):
            await round_.finish([item], redeliveries=2)
    round_.locked = set()
    await round_.finish([item], redeliveries=2)
    assert (round_.told, round_.acknowledged) == ([item.event_id], [1])


async def test_of_many_that_come_back_alone_for_a_lock_only_the_first_waits_long(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a message with a hundred of them would be held for longer than the broker waits for an acknowledgement."""
    round_ = _Round(consumer, monkeypatch)
    items = [requested() for _ in range(100)]
    round_.locked = {item.event_id for item in items}
    with pytest.raises(LockHeld) as stopped:
        await round_.finish(items, redeliveries=2)
    assert list(stopped.value.items) == items
    assert len(round_.works) == 3 + LOCKS_MET_MAX + 1


async def test_a_held_lock_is_asked_for_less_and_less_often(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is no database that is away: nothing waits for one."""
    pauses: list[float] = []

    async def locked_out() -> None:
        raise LockHeld([], Emission())

    async def paused(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 3:
            consumer.stop()

    monkeypatch.setattr(consumer._link, "wait_up", _nothing)
    monkeypatch.setattr(consumer, "_session", locked_out)
    monkeypatch.setattr(asyncio, "sleep", paused)
    await asyncio.create_task(consumer.run())
    assert pauses == [module._PAUSE_FIRST_S * 2**n for n in range(3)]


async def test_a_consumer_that_the_broker_has_forgotten_begins_anew(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes, nothing is closed: only whoever asks learns of it."""

    async def never() -> None:
        await asyncio.Event().wait()

    async def unknown(_: str) -> bool:
        return False

    monkeypatch.setattr(module, "_WATCHDOG_EVERY_S", 0.001)
    channel = SimpleNamespace(closed=never)
    stream: Any = SimpleNamespace(channel=channel, inbox=asyncio.Queue(), age_s=0.0, is_known=unknown)
    async with asyncio.timeout(5.0):
        assert await consumer._work(stream) is False


def test_an_error_is_described_by_its_end_and_within_bounds() -> None:
    error = ValueError(f"{'x' * 10_000} at last")
    assert described(error) == described(error)[-4_000:]
    assert described(error).endswith("x at last\n")
    assert "ValueError: short" in described(ValueError("short"))
