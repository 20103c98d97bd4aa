"""Natural batching: what arrives while a batch is in flight is the next batch."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from shared.messaging.batching import Batcher, take


class Flights:
    """A flush whose landing the test decides."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()

    async def flush(self, items: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(items))
        await self.gate.wait()
        return [ValueError(f"{item}") if item < 0 else item * 10 for item in items]


async def _started(flights: Flights, *items: int, items_max: int = 100) -> list[asyncio.Task[int]]:
    batcher: Batcher[int, int] = Batcher(flights.flush, items_max=items_max)
    tasks = [asyncio.create_task(batcher.submit(items[0]))]
    while not flights.batches:
        await asyncio.sleep(0)
    tasks += [asyncio.create_task(batcher.submit(item)) for item in items[1:]]
    return tasks


async def test_the_first_goes_alone_and_the_rest_together() -> None:
    flights = Flights()
    tasks = await _started(flights, 1, 2, 3, 4)
    flights.gate.set()
    assert await asyncio.gather(*tasks) == [10, 20, 30, 40]
    assert flights.batches == [[1], [2, 3, 4]]


async def test_a_batch_is_bounded_and_order_is_kept() -> None:
    flights = Flights()
    tasks = await _started(flights, 1, 2, 3, 4, 5, items_max=2)
    flights.gate.set()
    await asyncio.gather(*tasks)
    assert flights.batches == [[1], [2, 3], [4, 5]]


async def test_one_item_can_fail_alone() -> None:
    flights = Flights()
    flights.gate.set()
    tasks = await _started(flights, 1, -2, 3)
    one, two, three = await asyncio.gather(*tasks, return_exceptions=True)
    assert (one, three) == (10, 30)
    assert isinstance(two, ValueError)


async def test_a_flush_that_raises_fails_its_batch_and_not_the_next() -> None:
    calls = 0

    async def flush(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise OSError("lost")
        return list(items)

    batcher: Batcher[int, int] = Batcher(flush, items_max=10)
    with pytest.raises(OSError, match="lost"):
        await batcher.submit(1)
    assert await batcher.submit(2) == 2


async def test_a_caller_that_goes_away_does_not_stop_the_batch() -> None:
    flights = Flights()
    tasks = await _started(flights, 1, 2, 3)
    await asyncio.sleep(0)  # lets 2 and 3 be submitted
    tasks[1].cancel()
    flights.gate.set()
    assert await tasks[2] == 30
    assert flights.batches == [[1], [2, 3]]


async def test_a_flush_with_the_wrong_number_of_results_is_an_error() -> None:
    async def flush(_: Sequence[int]) -> list[int]:
        return []

    with pytest.raises(RuntimeError, match="1 items gave 0"):
        await Batcher(flush, items_max=10).submit(1)


async def test_take_waits_for_one_and_takes_what_is_there_up_to_the_bound() -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    for item in (3, 3, 3, 3):
        queue.put_nowait(item)
    assert await take(queue, weight=lambda item: item, weight_max=7) == [3, 3, 3]
    assert await take(queue, weight=lambda item: item, weight_max=7) == [3]


async def test_the_callers_of_a_large_batch_leave_turns_to_others() -> None:
    """An answer that is due meanwhile, a refusal say, does not wait until all of them have gone on."""
    flights, gone_on = Flights(), 0
    tasks = await _started(flights, *range(1, 502), items_max=500)

    def count(_: asyncio.Task[int]) -> None:
        nonlocal gone_on
        gone_on += 1

    for task in tasks:
        task.add_done_callback(count)
    flights.gate.set()
    seen = set()
    while not all(task.done() for task in tasks):
        seen.add(gone_on)
        await asyncio.sleep(0)
    assert max(after - before for before, after in zip(sorted(seen), sorted(seen)[1:], strict=False)) <= 64
    assert [task.result() for task in tasks] == [item * 10 for item in range(1, 502)]


async def test_who_ends_a_large_batch_half_way_leaves_nobody_waiting() -> None:
    flights = Flights()
    batcher: Batcher[int, int] = Batcher(flights.flush, items_max=500)
    tasks = [asyncio.create_task(batcher.submit(item)) for item in range(500)]
    flights.gate.set()
    while not any(task.done() for task in tasks):
        await asyncio.sleep(0)
    assert batcher._running is not None
    batcher._running.cancel()
    async with asyncio.timeout(5):
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in ended} == {int, asyncio.CancelledError}


class Clock:
    """A flush that notes when each batch begins, in seconds of the event loop."""

    def __init__(self) -> None:
        self.begun: list[tuple[float, int]] = []

    async def flush(self, items: Sequence[int]) -> list[int | BaseException]:
        self.begun.append((asyncio.get_running_loop().time(), len(items)))
        return list(items)

    @property
    def pauses_s(self) -> list[float]:
        times = [begun_s for begun_s, _ in self.begun]
        return [later - earlier for earlier, later in itertools.pairwise(times)]


async def test_after_many_the_next_batch_gathers_and_after_one_it_does_not_wait() -> None:
    """What comes during the pause goes together, also when nobody waited for a moment in between."""
    clock = Clock()
    batcher: Batcher[int, int] = Batcher(clock.flush, items_max=100, apart_s_max=0.2)
    for number in range(3):
        await batcher.submit(number)
    assert max(clock.pauses_s) < 0.2
    await asyncio.gather(*(batcher.submit(number) for number in range(50)))
    first = asyncio.create_task(batcher.submit(1))
    await asyncio.sleep(0)
    await asyncio.gather(first, batcher.submit(2))
    assert [items for _, items in clock.begun] == [1, 1, 1, 50, 2]
    # A millisecond an item but the first.
    assert clock.pauses_s[-1] >= 0.049


async def test_a_pause_is_bounded() -> None:
    clock = Clock()
    batcher: Batcher[int, int] = Batcher(clock.flush, items_max=500, apart_s_max=0.02)
    await asyncio.gather(*(batcher.submit(number) for number in range(400)))
    await batcher.submit(1)
    assert 0.019 <= clock.pauses_s[-1] < 0.3


async def test_a_drain_ends_when_nothing_waits_and_nothing_is_in_flight() -> None:
    flights = Flights()
    batcher: Batcher[int, int] = Batcher(flights.flush, items_max=1)
    await batcher.drain()
    tasks = [asyncio.create_task(batcher.submit(item)) for item in (1, 2)]
    await asyncio.sleep(0)
    draining = asyncio.create_task(batcher.drain())
    for _ in range(5):
        await asyncio.sleep(0)
    assert not draining.done()
    flights.gate.set()
    await draining
    assert flights.batches == [[1], [2]]
    assert await asyncio.gather(*tasks) == [10, 20]
