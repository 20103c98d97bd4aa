"""Natural batching: what arrives while the previous batch is in flight is the next batch.

No timers. An idle system handles each item at once and alone; a busy one amortises every round trip over all that
waits, and the batch grows exactly with the load.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Gathers concurrent calls of `submit` into calls of `flush`, one at a time, in order of arrival.

    `flush` returns one result an item, in order; an exception *instance* among them fails that item alone, an
    exception raised fails the whole batch. It must not be cancelled half-way by one impatient caller, so it runs in a
    task of its own: a caller that goes away leaves its item to be finished.
    """

    def __init__(
        self,
        flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        items_max: int,
    ) -> None:
        self._flush = flush
        self._items_max = items_max
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
                size = min(len(self._waiting), self._items_max)
                await self._carry([self._waiting.popleft() for _ in range(size)])
        finally:
            self._running = None

    async def _carry(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results: Sequence[Result | BaseException] = await self._flush([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"a flush of {len(batch)} items gave {len(results)} results")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except Exception as error:  # noqa: BLE001 - handed to every caller of the batch
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)


async def take(queue: asyncio.Queue[Item], *, weight: Callable[[Item], int], weight_max: int) -> list[Item]:
    """Waits for one item, then takes along whatever else is already there, until the weights add up to the bound."""
    batch = [await queue.get()]
    total = weight(batch[0])
    with suppress(asyncio.QueueEmpty):
        while total < weight_max:
            batch.append(queue.get_nowait())
            total += weight(batch[-1])
    return batch
