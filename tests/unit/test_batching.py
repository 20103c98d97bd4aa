"""Natural batching: what arrives while a batch is in flight is the next batch."""

from __future__ import annotations

import asyncio
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
