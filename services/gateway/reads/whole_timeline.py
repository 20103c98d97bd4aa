"""All that is known of one transfer, for an operator: each part for itself, so that what is broken hides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec import Meta

from services.gateway.domain import bodies, views
from services.gateway.domain.audit_log import AuditRow
from services.gateway.domain.bodies import EntryBody, Moment
from services.gateway.domain.found import FoundTransfer, found_transfer
from services.gateway.domain.pipeline import Look, Unknown, known
from services.gateway.domain.problems import Bounds, problems_of
from services.gateway.domain.stuck import Parked, Passed, Wait, waits
from services.gateway.domain.views import EntryView, TransferView
from services.gateway.reads.audit_log import AuditFilter, AuditLogReads
from services.gateway.reads.dead_letters import DeadLetter, DeadLetterReads
from services.gateway.reads.ledger import LEDGER_SQL
from services.gateway.reads.pipeline import PipelineReads, part
from services.gateway.reads.timeline import AUDIT_SQL
from services.gateway.reads.transfers import FRAUD_SQL, TRANSFER_SQL
from shared.contracts import topology
from shared.contracts.fraud import Reason
from shared.contracts.transfer import TransferSettled
from shared.database import Database, Row
from shared.ids import event_id
from shared.money import to_text

AUDIT_ROWS_MAX = 100
_PUT_AWAY = "The rows of its way are in an archive: that month was put away."

_reasons = msgspec.json.Decoder(tuple[Reason, ...])


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What fraud decided, under which version of the limits, and when it took back the amount of a failed transfer."""

    verdict: str
    policy: str
    reasons: Sequence[Reason]
    limits_version: str
    decided_at: Moment
    released_at: Moment | None


class EntryOfTransfer(EntryBody, frozen=True, kw_only=True):
    """A ledger entry, and when it was booked."""

    recorded_at: Moment


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """When a stage had it, and how long after the stage before it."""

    stage: str
    at: Moment
    after_s: Annotated[float, Meta(description="Seconds. Ledger and audit come after transfer, beside each other.")]
    detail: dict[str, Any]


class WholeTimeline(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer. A part that could not be looked at is null, and `unknown` says why; so it does where audit's rows
    have been put away into an archive."""

    transfer: FoundTransfer
    hops: list[Hop]
    verdict: Verdict | None
    entries: Sequence[EntryOfTransfer] | None
    audit: Annotated[
        Sequence[AuditRow] | None, Meta(description=f"The newest {AUDIT_ROWS_MAX} rows that tell of it, newest first.")
    ]
    dead_letters: Sequence[DeadLetter]
    waits: list[Wait]
    stuck_because: str | None
    unknown: dict[str, str]


class _Logged(NamedTuple):
    rows: list[AuditRow]
    made: Row | None
    is_put_away: bool


class WholeTimelines:
    """Gathers them."""

    def __init__(
        self,
        databases: Mapping[str, Database],
        audit: AuditLogReads,
        letters: DeadLetterReads,
        pipeline: PipelineReads,
        bounds: Bounds,
    ) -> None:
        self._databases = databases
        self._audit = audit
        self._letters = letters
        self._pipeline = pipeline
        self._bounds = bounds

    async def of(self, view: TransferView) -> WholeTimeline:
        """The transfer's way so far, what stands about it in each schema, and what it waits for."""
        transfer_id = view.transfer_id
        verdict, entries, audit, look, seen, *letters = await asyncio.gather(
            part(self._verdict(transfer_id)),
            part(self._entries(transfer_id)),
            part(self._logged(transfer_id)),
            self._pipeline.look(),
            part(self._seen(view)),
            *(part(self._letters.about(service, transfer_id)) for service in topology.CONSUMERS),
        )
        parts = {"fraud": verdict, "ledger": entries, "audit": audit, "transfer": seen}
        lettered = dict(zip(topology.CONSUMERS, letters, strict=True))
        about = [letter for one in lettered.values() for letter in known(one) or ()]
        unknown = _why(parts, "") | _why(lettered, "dead letters of ")
        logged = known(audit)
        if logged is not None and logged.is_put_away:
            unknown["audit"] = _PUT_AWAY
        hops = _hops(view, known(verdict), known(entries) or [], logged, known(seen) or {})
        waiting = self._waits(view, hops, about, look, unknown)
        return WholeTimeline(
            transfer=found_transfer(view),
            hops=hops,
            verdict=known(verdict),
            entries=known(entries),
            audit=None if logged is None else logged.rows,
            dead_letters=about,
            waits=waiting,
            stuck_because=next((one.stuck_because for one in waiting if one.stuck_because is not None), None),
            unknown=unknown,
        )

    def _waits(
        self, view: TransferView, hops: list[Hop], about: list[DeadLetter], look: Look, unknown: dict[str, str]
    ) -> list[Wait]:
        at = {hop.stage: hop.at for hop in hops}
        passed = Passed(
            gateway=view.requested_at,
            fraud=at.get("fraud"),
            transfer=at.get("transfer"),
            needs_ledger=view.status == views.COMPLETED,
            ledger=at.get("ledger"),
            audit=at.get("audit"),
        )
        return waits(passed, [_parked(letter) for letter in about], look, problems_of(look, self._bounds), unknown)

    async def _verdict(self, transfer_id: UUID) -> Verdict | None:
        row = await self._databases["fraud"].fetchrow(FRAUD_SQL.verdict, transfer_id)
        if row is None:
            return None
        fields = {name: row[name] for name in Verdict.__struct_fields__}
        return Verdict(**{**fields, "reasons": _reasons.decode(row["reasons"])})

    async def _entries(self, transfer_id: UUID) -> list[EntryOfTransfer]:
        rows = await self._databases["ledger"].fetch(LEDGER_SQL.whole_entries_of_transfer, transfer_id)
        return [_entry(row) for row in rows]

    async def _logged(self, transfer_id: UUID) -> _Logged:
        """The newest rows, and that which tells of its end: whoever looks often enough adds a hundred after it."""
        audit = self._databases["audit"]
        # Asked before the rows: what is recorded meanwhile must not seem to have been put away.
        is_recorded = await audit.fetchval(AUDIT_SQL.is_recorded, event_id(transfer_id, TransferSettled.TYPE))
        chosen = AuditFilter(resource_type="transaction", resource_id=str(transfer_id))
        rows, _ = await self._audit.page(chosen, offset=0, limit=AUDIT_ROWS_MAX)
        made = await audit.fetch(AUDIT_SQL.rows_of_transfer, str(transfer_id))
        ended = next((row for row in made if row["action"] == "TRANSFER"), None)
        return _Logged(rows, ended, is_put_away=is_recorded and ended is None)

    async def _seen(self, view: TransferView) -> dict[str, Any]:
        row = await self._databases["transfer"].fetchrow(TRANSFER_SQL.seen, view.transfer_id)
        if row is None or row["seen_balance_minor"] is None:
            return {}
        return {
            "seen_balance": to_text(row["seen_balance_minor"], view.currency),
            "seen_account_seq": row["seen_account_seq"],
        }


def _hops(
    view: TransferView,
    verdict: Verdict | None,
    entries: Sequence[EntryOfTransfer],
    logged: _Logged | None,
    seen: dict[str, Any],
) -> list[Hop]:
    """In the order in which it passes them; the ledger has it with its second entry."""
    asked = {"request_id": view.request_id}
    hops = [Hop(stage="gateway", at=view.requested_at, after_s=0.0, detail=asked)]
    if verdict is not None:
        hops.append(_hop("fraud", verdict.decided_at, view.requested_at, {"verdict": verdict.verdict}))
    if view.settled_at is None:
        return hops
    ended = {"status": view.status, "failure_reason": view.failure_reason, "retry_count": view.retry_count, **seen}
    hops.append(_hop("transfer", view.settled_at, hops[-1].at, ended))
    if len(entries) > 1:
        hops.append(_hop("ledger", max(entry.recorded_at for entry in entries), view.settled_at, {}))
    if logged is not None and logged.made is not None:
        hops.append(_hop("audit", logged.made["recorded_at"], view.settled_at, {"seq": logged.made["seq"]}))
    return hops


def _hop(stage: str, at: datetime, before: datetime, detail: dict[str, Any]) -> Hop:
    return Hop(stage=stage, at=at, after_s=round((at - before).total_seconds(), 6), detail=detail)


def _entry(row: Row) -> EntryOfTransfer:
    view = EntryView(**{field: row[field] for field in EntryView.__struct_fields__})
    return EntryOfTransfer(**msgspec.structs.asdict(bodies.entry(view)), recorded_at=row["recorded_at"])


def _parked(letter: DeadLetter) -> Parked:
    return Parked(
        letter_id=letter.id,
        service=letter.service,
        message_type=letter.message_type,
        reason=letter.reason,
        parked_at=letter.parked_at,
        resolution=letter.resolution,
    )


def _why(parts: dict[str, Any], prefix: str) -> dict[str, str]:
    return {f"{prefix}{name}": found.why for name, found in parts.items() if isinstance(found, Unknown)}
