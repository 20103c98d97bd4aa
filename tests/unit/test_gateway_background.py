"""Work in the background ends when it is told to, in whatever moment that is."""

from __future__ import annotations

import asyncio

import pytest

from services.gateway.background import repeatedly


@pytest.mark.parametrize("turns", range(6))
async def test_a_stop_that_comes_as_the_work_falls_due_is_heard(turns: int) -> None:
    due = asyncio.Event()
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1

    running = asyncio.create_task(repeatedly("test", work, every_s=60, due=due))
    while not calls:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    due.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
