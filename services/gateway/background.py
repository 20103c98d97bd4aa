"""Work that goes on until the process stops: done again and again, through every server that is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from services.gateway.errors import OutcomeUnknown
from shared.database import is_transient
from shared.errors import PoisonError
from shared.messaging.publisher import TopologyMissing

log = structlog.get_logger(__name__)

# undefined_table, invalid_schema_name, insufficient_privilege: the migrations have not come this far.
_NOT_MIGRATED = frozenset({"42P01", "3F000", "42501"})


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed later: when a server is back, its schema is there, or another release runs."""
    if is_transient(error) or isinstance(error, OutcomeUnknown | TopologyMissing | PoisonError):
        return True
    return getattr(error, "sqlstate", None) in _NOT_MIGRATED


async def repeatedly(
    name: str, work: Callable[[], Awaitable[None]], *, every_s: float, due: asyncio.Event | None = None
) -> None:
    """Calls `work` every `every_s` seconds, and at once when `due` is set; until cancelled."""
    due = due or asyncio.Event()
    while True:
        due.clear()
        try:
            await work()
        except Exception as error:
            if not passes(error):
                raise
            log.warning("postponed", work=name, error=repr(error))
        with suppress(TimeoutError):
            await asyncio.wait_for(due.wait(), every_s)
