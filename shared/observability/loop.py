"""The event loop's own health: whoever keeps it from the others makes everything late, and no other metric says who."""

from __future__ import annotations

import asyncio

from shared.observability.metrics import LOOP_LAG

_EVERY_S = 0.25


async def watch_loop() -> None:
    """Measures how late the loop is, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + _EVERY_S
        await asyncio.sleep(_EVERY_S)
        LOOP_LAG.observe(max(loop.time() - due_s, 0.0))
