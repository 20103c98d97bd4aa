"""Reads of the audit log: pages by number for people, streams by position for machines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.gateway.domain.audit_log import AuditRow
from shared.database import Database, Row, load_queries
from shared.errors import TransientError

LOG_SQL = load_queries(__file__, "audit_log.sql")

# How far a total is counted, and how deep pages go.
COUNTED_MAX = 10_000
_EXPORT_PAGE_ROWS = 1_000

_ORDER = "ORDER BY recorded_at DESC, seq DESC"


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which rows: all that is given must hold. `start` (inclusive) and `end` (exclusive) are of `recorded_at`."""

    user_id: UUID | None = None
    action: str | None = None
    resource_type: str | None = None
    resource_id: str | None = None
    status: str | None = None
    start: datetime | None = None
    end: datetime | None = None


_PREDICATES = {
    "user_id": "user_id = ${n}::uuid",
    "action": "action = ${n}::text",
    "resource_type": "resource_type = ${n}::text",
    "resource_id": "resource_id = ${n}::text",
    "status": "status = ${n}::text",
    "start": "recorded_at >= ${n}::timestamptz",
    "end": "recorded_at < ${n}::timestamptz",
}


class LogMoved(TransientError):
    """A part of the log was detached into an archive while it was being read."""


class AuditLogReads:
    """Reads of the view `audit.logs`."""

    def __init__(self, audit: Database) -> None:
        self._audit = audit

    async def page(self, chosen: AuditFilter, *, offset: int, limit: int) -> tuple[list[AuditRow], int]:
        """Rows by their number, newest first, and how many there are; `COUNTED_MAX` + 1 stands for all beyond it.

        Where few rows match, PostgreSQL is not left to look for them from the newest on, and where many match, those
        before the page are read as times alone, from an index: either could otherwise take seconds.
        """
        span = await self._span(chosen, offset, limit, is_ordered=False)
        counted: int = span["counted"]
        if counted <= offset:
            return [], counted
        if counted > COUNTED_MAX:
            if offset == 0:
                return await self._newest(chosen, limit), counted
            span = await self._span(chosen, offset, limit, is_ordered=True)
        return await self._between(chosen, span, offset, limit), counted

    async def _span(self, chosen: AuditFilter, offset: int, limit: int, *, is_ordered: bool) -> Row:
        where, values = conditions(chosen)
        order = f"ORDER BY recorded_at DESC LIMIT {offset + limit:d}" if is_ordered else f"LIMIT {COUNTED_MAX + 1:d}"
        statement = f"""
            WITH matching AS MATERIALIZED ({LOG_SQL.times} {where} {order}),
                 asked AS (SELECT recorded_at FROM matching ORDER BY 1 DESC OFFSET {offset:d} LIMIT {limit:d}),
                 edges AS (SELECT max(recorded_at) AS newest, min(recorded_at) AS oldest FROM asked)
            SELECT newest, oldest, (SELECT count(*) FROM matching) AS counted,
                   (SELECT count(*) FROM matching WHERE recorded_at > newest) AS newer
              FROM edges
            """  # noqa: S608 - texts of ours and whole numbers
        return (await self._audit.fetch(statement, *values))[0]

    async def _newest(self, chosen: AuditFilter, limit: int) -> list[AuditRow]:
        where, values = conditions(chosen)
        return [
            _row(row) for row in await self._audit.fetch(f"{LOG_SQL.rows} {where} {_ORDER} LIMIT {limit:d}", *values)
        ]

    async def _between(self, chosen: AuditFilter, span: Row, offset: int, limit: int) -> list[AuditRow]:
        where, values = conditions(chosen)
        n = len(values)
        where += f" AND recorded_at BETWEEN ${n + 1}::timestamptz AND ${n + 2}::timestamptz"
        skipped = offset - span["newer"]
        statement = (
            f"WITH found AS MATERIALIZED ({LOG_SQL.rows} {where})"  # noqa: S608
            f" SELECT * FROM found {_ORDER} LIMIT {limit:d} OFFSET {skipped:d}"
        )
        rows = await self._audit.fetch(statement, *values, span["oldest"], span["newest"])
        return [_row(row) for row in rows]

    async def everything(self, chosen: AuditFilter) -> AsyncIterator[Sequence[AuditRow]]:
        """All rows that were there when this began, newest first, in bounded pages; no connection is held between.

        Raises:
            LogMoved: some of them were detached meanwhile, so that they may be missing.
        """
        archived_until = await self._archived_until()
        place = await self._audit.fetchrow(LOG_SQL.tip)
        if place is None:
            return
        at, below = place["recorded_at"], place["seq"] + 1
        while page := await self._below(chosen, at, below):
            yield page
            at, below = page[-1].recorded_at, page[-1].seq
        if await self._archived_until() != archived_until:
            raise LogMoved("a month was archived while this was being read")

    async def _below(self, chosen: AuditFilter, at: datetime, below: int) -> list[AuditRow]:
        where, values = conditions(chosen)
        n = len(values)
        # The first condition, implied by the second, is the one by which partitions are left out.
        where += f" AND recorded_at <= ${n + 1}::timestamptz"
        where += f" AND (recorded_at, seq) < (${n + 1}::timestamptz, ${n + 2}::bigint)"
        statement = f"{LOG_SQL.rows} {where} {_ORDER} LIMIT {_EXPORT_PAGE_ROWS:d}"
        return [_row(row) for row in await self._audit.fetch(statement, *values, at, below)]

    async def _archived_until(self) -> int:
        return int(await self._audit.fetchval(LOG_SQL.archived_until))


def conditions(chosen: AuditFilter) -> tuple[str, list[Any]]:
    """The predicates that were asked for, and their values in the order of their numbers."""
    given = {name: value for name in _PREDICATES if (value := getattr(chosen, name)) is not None}
    parts = [f"AND {_PREDICATES[name].format(n=n)}" for n, name in enumerate(given, 1)]
    return " ".join(parts), list(given.values())


def _row(row: Row) -> AuditRow:
    values = dict(row)
    values["details"] = msgspec.Raw(values["details"].encode())
    return AuditRow(**values)
