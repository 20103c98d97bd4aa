"""The reconciler's clock: rows that somebody downstream has not seen are emitted again.

It runs on every connect to the broker, every minute, and from `remit repair`. What is emitted again, and how it is
known to be missing, is each service's own (`reconcile.py`); this module decides when, and that one at a time does it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from shared.database import Database

log = structlog.get_logger(__name__)

Sweep = Callable[[], Awaitable[int]]


class Reconciler:
    """Calls `sweep` when it is due, holding the service's advisory lock, so that one process a service does it."""

    def __init__(self, database: Database, sweep: Sweep, *, lock_key: int, every_s: float = 60.0) -> None:
        self._database = database
        self._sweep = sweep
        self._lock_key = lock_key
        self._every_s = every_s
        self._due = asyncio.Event()

    def wake(self) -> None:
        """The broker came back: look now, not in a minute."""
        self._due.set()

    async def run(self) -> None:
        """Sweeps until cancelled; trouble is logged and tried again at the next turn."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), self._every_s)
            self._due.clear()
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - repair never takes down the work that it repairs
                log.warning("reconcile_postponed", error=repr(error))

    async def once(self) -> int | None:
        """One sweep: how many items were emitted again, or None while another process holds the lock."""
        async with self._database.advisory_lock(self._lock_key) as held:
            if not held:
                return None
            emitted = await self._sweep()
        if emitted:
            log.info("reconciled", items=emitted)
        return emitted
