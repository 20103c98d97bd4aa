"""The audit log for operators: pages, exports, and whether anybody has touched it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain import audit_log
from services.gateway.domain.audit_log import AuditLogPage
from services.gateway.http.audit_query import (
    FILTERS,
    FORMAT,
    PAGES,
    audit_filter,
    export_format,
    numbered_page,
    told,
)
from services.gateway.http.openapi import Call
from services.gateway.http.responses import answer
from services.gateway.http.streams import EVENT_STREAM, Download, Events, Places, found_at_last, nothing_sent
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.audit_log import COUNTED_MAX, AuditFilter, AuditLogReads
from services.gateway.reads.audit_walk import AuditWalks, WalkProgress
from shared.audit_chain.walk import Verification

_MEDIA = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson"}
# Each reads the database as fast as its client takes it.
_EXPORTS_MAX = 4
# One of them walks, and the others wait for their turn.
WATCHES_MAX = 4


class AuditRoutes:
    """The calls under `/admin/audit-logs`."""

    def __init__(
        self,
        callers: Callers,
        reads: AuditLogReads,
        walks: AuditWalks,
        activities: Activities,
        stop: asyncio.Event,
    ) -> None:
        self._callers = callers
        self._reads = reads
        self._walks = walks
        self._activities = activities
        self._stop = stop
        self._exports = Places(_EXPORTS_MAX, "exports are under way on this gateway.")
        self._watches = Places(WATCHES_MAX, "verifications are watched on this gateway.")

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/admin/audit-logs", "operators"
        return [
            Call(method="GET", path=at, endpoint=self.list, summary="The audit log", tag=tag, answers=AuditLogPage,
                 query={**FILTERS, **PAGES}, also=(403,)),
            Call(method="GET", path=f"{at}/export", endpoint=self.export, summary="The audit log as a file", tag=tag,
                 query={**FILTERS, **FORMAT}, also=(403,), produces=("text/csv", "application/x-ndjson")),
            Call(method="GET", path=f"{at}/verify", endpoint=self.verify, tag=tag, answers=Verification, also=(403,),
                 summary="Whether the audit log is what was recorded"),
            Call(method="GET", path=f"{at}/verify/events", endpoint=self.watch, tag=tag, also=(403,),
                 summary="The same, and how far it has come", produces=(EVENT_STREAM,)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """One page, newest first. The row that tells of this read is recorded after it, so a page never shows it."""
        caller = await self._callers.admin(request)
        chosen, (page, size) = audit_filter(request), numbered_page(request)
        items, counted = await self._reads.page(chosen, offset=(page - 1) * size, limit=size)
        await self._tell(caller, "read_audit_log", chosen, page=page, page_size=size)
        total = min(counted, COUNTED_MAX)
        return answer(
            AuditLogPage(
                items=items,
                page=page,
                page_size=size,
                total=total,
                pages=min(-(-total // size), COUNTED_MAX // size),
                total_capped=counted > total,
            )
        )

    async def export(self, request: Request) -> Response:
        """All rows that a filter takes, as a stream; audited once, at its opening."""
        caller = await self._callers.admin(request)
        chosen, form = audit_filter(request), export_format(request)
        with self._exports.taken() as place:
            await self._tell(caller, "export_audit_log", chosen, format=form)
            parts = nothing_sent() if request.method == "HEAD" else self._parts(chosen, form)
            return place.kept_by(Download(parts, media_type=_MEDIA[form], filename=f"audit-logs.{form}"))

    async def _parts(self, chosen: AuditFilter, form: str) -> AsyncGenerator[bytes]:
        written = audit_log.csv_lines if form == "csv" else audit_log.ndjson
        if form == "csv":
            yield audit_log.csv_header()
        async for page in self._reads.everything(chosen):
            yield written(page)

    async def verify(self, request: Request) -> Response:
        """The whole chain, against every checkpoint, also those that were sent to the stream."""
        caller = await self._callers.admin(request)
        found = await self._walks.verify()
        await self._tell_found(caller, found)
        return answer(found)

    async def watch(self, request: Request) -> Response:
        """Events `progress` twice a second, {walked, total} in rows (`total` is null until the walk's turn has come:
        one runs at a time), then one `result` with what the call itself answers, then `end`; audited at opening, and
        again with what was found. Without a `result` nothing was found out: the caller's token or the gateway itself
        has ended. A gateway makes four of these at a time."""
        caller = await self._callers.admin(request)
        with self._watches.taken() as place:
            if request.method == "HEAD":
                return Events(nothing_sent())
            await self._tell(caller, "watch_audit_verification", None)

            async def goes_on() -> bool:
                return not self._stop.is_set() and await self._callers.stands(caller)

            steps = self._found_and_told(caller, await self._walks.begin())
            return place.kept_by(Events(found_at_last(steps, Verification, goes_on)))

    async def _found_and_told(
        self, caller: Caller, steps: AsyncGenerator[WalkProgress | Verification]
    ) -> AsyncGenerator[WalkProgress | Verification]:
        async with aclosing(steps):
            async for step in steps:
                if isinstance(step, Verification):
                    await self._tell_found(caller, step)
                yield step

    async def _tell_found(self, caller: Caller, found: Verification) -> None:
        first_bad = None if found.first_bad is None else found.first_bad.seq
        await self._tell(caller, "verify_audit_log", None, status=found.status, rows=found.rows, first_bad=first_bad)

    async def _tell(self, caller: Caller, act: str, chosen: AuditFilter | None, **details: Any) -> None:
        filters = {} if chosen is None else {"filters": told(chosen)}
        details = {"act": act, **filters, **details}
        await self._activities.tell(activity("ADMIN", "audit_log", None, caller.context, details=details))
