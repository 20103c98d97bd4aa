"""When a reconciler looks: at its times, and at once when the broker came back; and how it rests meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from shared.messaging import reconciler as reconciling
from shared.messaging.reconciler import REPAIR, Bounds, Candidate, Position, Reconciler, Sweep


async def test_it_waits_for_its_time_or_for_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody: Any = None
    reconciler = Reconciler(nobody, [], lock_key=1, every_s=3_600.0)
    looks: asyncio.Queue[None] = asyncio.Queue()

    async def looked() -> int:
        looks.put_nowait(None)
        # A loop that did not wait would never let go.
        await asyncio.sleep(0)
        return 0

    monkeypatch.setattr(reconciler, "once", looked)
    running = asyncio.create_task(reconciler.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks.empty()
    reconciler.on_connect()
    async with asyncio.timeout(5.0):
        await looks.get()
    for _ in range(20):
        await asyncio.sleep(0)
    assert looks.empty()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class _Rows:
    """So many thousand rows, all of which downstream has seen."""

    beginning: Position = (0, 0)

    def __init__(self, thousands: int) -> None:
        self.rows = thousands * 1_000
        self.mark = self.beginning

    async def read_watermark(self) -> Position:
        return self.mark

    async def move_watermark(self, position: Position) -> None:
        self.mark = position

    async def page(self, start: Position, limit: int, *, final_only: bool) -> Sequence[Candidate]:
        places = range(start[1] + 1, min(start[1] + limit, self.rows) + 1)
        return [Candidate(UUID(int=place), (0, place), 60.0) for place in places]

    async def present(self, keys: Sequence[UUID]) -> set[UUID]:
        return set(keys)

    async def events(self, keys: Sequence[UUID]) -> Sequence[Any]:
        raise AssertionError


async def test_it_rests_after_each_page_unless_the_broker_may_have_lost_something(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three times as long as the page took: a busy minute's rows are compared beside the work, not before it."""
    rests, now_s = list[float](), iter(range(1_000))

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    monkeypatch.setattr(reconciling, "time", SimpleNamespace(monotonic=lambda: float(next(now_s))))
    monkeypatch.setattr(reconciling, "asyncio", SimpleNamespace(sleep=rest))
    rows = _Rows(3)
    sweep = Sweep(rows, cast("Any", None), Bounds(grace_s=0, items_max=5_000))
    assert await sweep.run() == 0
    assert (rows.mark, rests) == ((0, 3_000), [3.0, 3.0, 3.0])
    rows.rows += 2_000
    sweep.expect_loss()
    await sweep.run()
    assert (rows.mark, len(rests)) == ((0, 5_000), 3)
    rows.rows += 1_000
    await sweep.run()
    assert len(rests) == 4
    await Sweep(_Rows(2), cast("Any", None), REPAIR).run()
    assert len(rests) == 4
