"""Transfers as the workers have committed them: rows of `transfer`, decisions of `fraud`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.domain import views
from services.gateway.domain.views import TransferView
from shared.contracts.base import Context
from shared.contracts.envelope import decode_item
from shared.contracts.fraud import Reason, TransferScreened
from shared.contracts.gateway import Kind
from shared.database import Database, Row, load_queries
from shared.messaging.batching import Batcher

TRANSFER_SQL = load_queries(__file__, "transfer.sql")
FRAUD_SQL = load_queries(__file__, "fraud.sql")

_TOGETHER_MAX = 500
_DECISIONS_MAX = 200

_context = msgspec.json.Decoder(Context)
_reasons = msgspec.json.Decoder(tuple[Reason, ...])


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which transfers a list holds; it begins below `before` in order of (created_at, id)."""

    account_id: UUID | None = None
    status: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    before: tuple[datetime, UUID] | None = None
    idempotency_key: str | None = None

    def takes(self, view: TransferView) -> bool:
        """The same choice for what is not a row yet."""
        return (
            (self.account_id is None or self.account_id in {view.from_account_id, view.to_account_id})
            and (self.status is None or self.status == view.status)
            and (self.start is None or view.requested_at >= self.start)
            and (self.end is None or view.requested_at < self.end)
            and (self.before is None or (view.requested_at, view.transfer_id) < self.before)
        )


class FullView(msgspec.Struct, frozen=True, kw_only=True):
    """A row with what decides who may see it."""

    view: TransferView
    payee_id: UUID | None


class TransferReads:
    """Reads of the schemas `transfer` and `fraud`."""

    def __init__(self, transfer: Database, fraud: Database) -> None:
        self._transfer = transfer
        self._fraud = fraud
        self._rows: Batcher[UUID, TransferView | None] = Batcher(self._rows_of, items_max=_TOGETHER_MAX)

    async def row(self, transfer_id: UUID) -> TransferView | None:
        """One transfer that has ended, deleted or not; all that are asked for at once in one statement."""
        return await self._rows.submit(transfer_id)

    async def rows(self, transfer_ids: Sequence[UUID]) -> dict[UUID, TransferView]:
        """Those of these transfers that have ended, deleted or not."""
        rows = await self._transfer.fetch(TRANSFER_SQL.transfers, list(transfer_ids))
        return {row["id"]: view_of(row) for row in rows}

    async def full(self, transfer_id: UUID) -> FullView | None:
        """A transfer that has ended and is not deleted, with its payee."""
        row = await self._transfer.fetchrow(TRANSFER_SQL.transfer_with_payee, transfer_id)
        if row is None:
            return None
        return FullView(view=view_of(row), payee_id=row["payee_id"])

    async def decisions(self, transfer_ids: Sequence[UUID]) -> dict[UUID, TransferScreened]:
        """What fraud has decided on these transfers."""
        rows = await self._fraud.fetch(FRAUD_SQL.decisions, list(transfer_ids))
        return {row["transfer_id"]: screened_of(row["payload"]) for row in rows}

    async def decided_only(self, user_id: UUID, key: str | None) -> list[TransferView]:
        """This user's transfers that fraud has decided and nobody has settled yet."""
        recent = await self._fraud.fetch(FRAUD_SQL.recent_decisions, user_id, _DECISIONS_MAX)
        found = [row["transfer_id"] for row in recent]
        ended = await self.rows(found) if found else {}
        missing = [transfer_id for transfer_id in found if transfer_id not in ended]
        decided = (await self.decisions(missing)).values() if missing else ()
        return [
            views.pending(event.instruction)
            for event in decided
            if key is None or event.instruction.idempotency_key == key
        ]

    async def own(self, user_id: UUID, chosen: Filter, limit: int) -> list[TransferView]:
        """What this user's accounts were asked to send, and what others sent to them; newest first."""
        moment, place = chosen.before or (None, None)
        sent = await self._transfer.fetch(
            TRANSFER_SQL.list_own_transfers,
            user_id,
            chosen.account_id,
            chosen.status,
            chosen.start,
            chosen.end,
            moment,
            place,
            chosen.idempotency_key,
            limit,
        )
        received: list[Row] = []
        if chosen.status in {None, views.COMPLETED} and chosen.idempotency_key is None:
            received = await self._transfer.fetch(
                TRANSFER_SQL.list_received_transfers,
                user_id,
                chosen.account_id,
                chosen.start,
                chosen.end,
                moment,
                place,
                limit,
            )
        return newest([view_of(row) for row in (*sent, *received)], limit)

    async def of_account(self, account_id: UUID, chosen: Filter, limit: int) -> list[TransferView]:
        """All transfers of one account, as an operator sees them; newest first."""
        moment, place = chosen.before or (None, None)
        sent = await self._transfer.fetch(
            TRANSFER_SQL.list_sent_transfers_of_account,
            account_id,
            chosen.status,
            chosen.start,
            chosen.end,
            moment,
            place,
            chosen.idempotency_key,
            limit,
        )
        received: list[Row] = []
        if chosen.status in {None, views.COMPLETED} and chosen.idempotency_key is None:
            received = await self._transfer.fetch(
                TRANSFER_SQL.list_received_transfers_of_account,
                account_id,
                chosen.start,
                chosen.end,
                moment,
                place,
                limit,
            )
        return newest([view_of(row) for row in (*sent, *received)], limit)

    async def drain(self) -> None:
        """Returns when no read is in flight."""
        await self._rows.drain()

    async def _rows_of(self, transfer_ids: Sequence[UUID]) -> Sequence[TransferView | None]:
        found = await self.rows(transfer_ids)
        return [found.get(transfer_id) for transfer_id in transfer_ids]


def newest(found: Sequence[TransferView], limit: int) -> list[TransferView]:
    """Each once, in the order of lists."""
    unique = {view.transfer_id: view for view in found}
    ordered = sorted(unique.values(), key=lambda view: (view.requested_at, view.transfer_id), reverse=True)
    return ordered[:limit]


def screened_of(payload: str) -> TransferScreened:
    """The event of a decision, as its row keeps it."""
    item = decode_item(TransferScreened.TYPE, payload)
    if not isinstance(item, TransferScreened):  # pragma: no cover - the type is asked for by name
        raise TypeError(type(item).__name__)
    return item


def view_of(row: Row) -> TransferView:
    """A transfer as its row tells it: the same view as its event gives."""
    return TransferView(
        transfer_id=row["id"],
        fingerprint=row["fingerprint"],
        kind=Kind(row["kind"]),
        caller_id=row["caller_id"],
        owner_id=row["owner_id"],
        from_account_id=row["from_account_id"],
        to_account_id=row["to_account_id"],
        amount_minor=row["amount_minor"],
        currency=row["currency"],
        description=row["description"],
        metadata=None if row["metadata"] is None else row["metadata"].encode(),
        status=row["status"],
        requested_at=row["created_at"],
        request_id=_context.decode(row["context"]).request_id,
        batch_fingerprint=row["batch_fingerprint"],
        failure_reason=row["failure_reason"],
        reasons=_reasons.decode(row["reasons"]) if row["reasons"] else (),
        retry_count=row["retry_count"],
        settled_at=row["settled_at"],
        idempotency_key=row["idempotency_key"],
        is_deleted=row["is_deleted"],
    )
