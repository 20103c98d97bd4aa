"""A worker inside the test's own process: its real composition root on real servers, without a fork."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.runtime import Worker, run_worker
from tests.support.waiting import eventually


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[Worker]:
    """`worker`, consuming; stopped cleanly at the end."""
    stop = asyncio.Event()
    task = asyncio.create_task(run_worker(worker, stop))

    async def is_consuming() -> bool:
        if task.done():
            task.result()
        return all([await consumer.is_consuming() for consumer in worker.consumers])

    try:
        await eventually(is_consuming)
        yield worker
    finally:
        stop.set()
        async with asyncio.timeout(30):
            await task
