"""The audit log for operators: pages, exports, and whether anybody has touched it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain import audit_log
from services.gateway.domain.audit_log import AuditLogPage
from services.gateway.errors import Overloaded
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
from services.gateway.http.streams import Download
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.audit_log import COUNTED_MAX, AuditFilter, AuditLogReads
from shared.audit_chain.stream import CheckpointStream
from shared.audit_chain.walk import Log, Verification, verify

_MEDIA = {"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson"}
# Each reads the database as fast as its client takes it.
_EXPORTS_MAX = 4


class AuditRoutes:
    """The calls under `/admin/audit-logs`."""

    def __init__(
        self, callers: Callers, reads: AuditLogReads, log: Log, stream: CheckpointStream, activities: Activities
    ) -> None:
        self._callers = callers
        self._reads = reads
        self._log = log
        self._stream = stream
        self._activities = activities
        self._exports = 0
        # A walk takes a processor's whole attention; a second one at once would only make both late.
        self._walking = asyncio.Lock()

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
        if self._exports >= _EXPORTS_MAX:
            raise Overloaded(f"{_EXPORTS_MAX} exports are under way on this gateway.")
        await self._tell(caller, "export_audit_log", chosen, format=form)
        parts = _nothing() if request.method == "HEAD" else self._parts(chosen, form)
        return Download(parts, media_type=_MEDIA[form], filename=f"audit-logs.{form}")

    async def _parts(self, chosen: AuditFilter, form: str) -> AsyncGenerator[bytes]:
        written = audit_log.csv_lines if form == "csv" else audit_log.ndjson
        self._exports += 1
        try:
            if form == "csv":
                yield audit_log.csv_header()
            async for page in self._reads.everything(chosen):
                yield written(page)
        finally:
            self._exports -= 1

    async def verify(self, request: Request) -> Response:
        """The whole chain, against every checkpoint, also those that were sent to the stream."""
        caller = await self._callers.admin(request)
        async with self._walking:
            sent = await self._stream.read()
            found = await verify(self._log, sent=sent)
        first_bad = None if found.first_bad is None else found.first_bad.seq
        await self._tell(caller, "verify_audit_log", None, status=found.status, rows=found.rows, first_bad=first_bad)
        return answer(found)

    async def _tell(self, caller: Caller, act: str, chosen: AuditFilter | None, **details: Any) -> None:
        filters = {} if chosen is None else {"filters": told(chosen)}
        details = {"act": act, **filters, **details}
        await self._activities.tell(activity("ADMIN", "audit_log", None, caller.context, details=details))


async def _nothing() -> AsyncGenerator[bytes]:
    no_parts: tuple[bytes, ...] = ()
    for part in no_parts:
        yield part
