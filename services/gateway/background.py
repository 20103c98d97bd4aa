"""Work beside calls: done again and again, through every server that is away for a while; or watched on its way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import structlog

from services.gateway.errors import OutcomeUnknown, Overloaded, ServiceUnavailable
from shared.database import is_transient
from shared.errors import PoisonError
from shared.messaging.publisher import TopologyMissing
from shared.observability.metrics import ChoreMeter

log = structlog.get_logger(__name__)

Found = TypeVar("Found")
Progress = TypeVar("Progress")

_COME_BACK = (OutcomeUnknown, Overloaded, ServiceUnavailable, TopologyMissing, PoisonError)
# undefined_table, invalid_schema_name, insufficient_privilege: the migrations have not come this far.
_NOT_MIGRATED = frozenset({"42P01", "3F000", "42501"})


def passes(error: BaseException) -> bool:
    """Whether the same work may succeed later: when a server is back, its schema is there, another release runs, or
    less is asked of this gateway."""
    if is_transient(error) or isinstance(error, _COME_BACK):
        return True
    return getattr(error, "sqlstate", None) in _NOT_MIGRATED


async def repeatedly(
    name: str, work: Callable[[], Awaitable[None]], *, every_s: float, due: asyncio.Event | None = None
) -> None:
    """Calls `work` every `every_s` seconds, and at once when `due` is set; until cancelled."""
    due, meter = due or asyncio.Event(), ChoreMeter(name)
    while True:
        due.clear()
        try:
            await work()
            meter.ended()
        except Exception as error:
            if not passes(error):
                raise
            meter.postponed()
            log.warning("postponed", work=name, error=repr(error))
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await due.wait()


async def on_the_way(
    work: Callable[[], Coroutine[Any, Any, Found]], so_far: Callable[[], Progress], *, every_s: float
) -> AsyncGenerator[Progress | Found]:
    """What `work` finds; before it `so_far()`, at once, every `every_s` seconds and at the end. Given up with its
    watcher; who reads slowly does not hold it up."""
    working = asyncio.create_task(work(), name="watched")
    try:
        while not working.done():
            yield so_far()
            await asyncio.wait({working}, timeout=every_s)
        found = working.result()
        yield so_far()
        yield found
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
