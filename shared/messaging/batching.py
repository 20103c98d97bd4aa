"""Natural batching: what arrives while the previous batch is in flight is the next batch.

An idle system handles each item at once and alone; a busy one amortises every round trip over all that waits, and the
batch grows with the load. Where many stages share few processors none of them is ever late, and batches stay small just
when their costs count; so under load a stage also pauses between two batches (decision 0024).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Callers that go on in one turn of the event loop.
_TOLD_TOGETHER = 32
# For what a caller waits for, several times a call: between the beginnings of two batches, at most, in seconds.
GATHERING_APART_S = 0.005
# For each item of a batch but the first. Above a thousand a second pauses grow to their bound, and batches with them;
# below they shrink to nothing.
_APART_AN_ITEM_S = 0.001


def apart_s(items: int, apart_s_max: float) -> float:
    """How long after the beginning of a batch of so many items the next one may begin, in seconds."""
    return min((items - 1) * _APART_AN_ITEM_S, apart_s_max)


class Batcher(Generic[Item, Result]):
    """Gathers concurrent calls of `submit` into calls of `flush`, one at a time, in order of arrival.

    `flush` returns one result an item, in order; an exception *instance* among them fails that item alone, an
    exception raised fails the whole batch. It must not be cancelled half-way by one impatient caller, so it runs in a
    task of its own: a caller that goes away leaves its item to be finished. How far batches begin apart: `apart_s`.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        items_max: int,
        apart_s_max: float = 0.0,
    ) -> None:
        self._flush = flush
        self._items_max = items_max
        self._apart_s_max = apart_s_max
        self._not_before_s = 0.0
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._running: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The result of `item`, from whichever batch carries it."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="batcher")
        return await future

    async def drain(self) -> None:
        """Returns when nothing waits and nothing is in flight."""
        while self._running is not None:
            await asyncio.shield(self._running)

    async def _run(self) -> None:
        try:
            while self._waiting:
                if (left_s := self._not_before_s - time.monotonic()) > 0:
                    await asyncio.sleep(left_s)
                size, begun_s = min(len(self._waiting), self._items_max), time.monotonic()
                self._not_before_s = begun_s + apart_s(size, self._apart_s_max)
                await self._carry([self._waiting.popleft() for _ in range(size)])
        finally:
            self._running = None

    async def _carry(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            await _tell(batch, await self._results(batch))
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise

    async def _results(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> Sequence[Result | BaseException]:
        try:
            results = await self._flush([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"a flush of {len(batch)} items gave {len(results)} results")
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            return [error] * len(batch)
        return results


async def _tell(
    batch: Sequence[tuple[Item, asyncio.Future[Result]]], results: Sequence[Result | BaseException]
) -> None:
    for index, ((_, future), result) in enumerate(zip(batch, results, strict=True), 1):
        if not future.done():
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
        if index % _TOLD_TOGETHER == 0:
            # All callers at once would keep the loop from everybody else for as long as they all take.
            await asyncio.sleep(0)


async def take(queue: asyncio.Queue[Item], *, weight: Callable[[Item], int], weight_max: int) -> list[Item]:
    """Waits for one item, then takes along whatever else is already there, until the weights add up to the bound."""
    batch = [await queue.get()]
    total = weight(batch[0])
    with suppress(asyncio.QueueEmpty):
        while total < weight_max:
            batch.append(queue.get_nowait())
            total += weight(batch[-1])
    return batch
