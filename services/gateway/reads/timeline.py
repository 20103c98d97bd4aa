"""A transfer's way through the services, each stage as that service committed it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from services.gateway.domain.views import TransferView
from services.gateway.reads.ledger import LedgerReads
from services.gateway.reads.transfers import TransferReads
from shared.database import Database, Row, load_queries
from shared.money import to_text

AUDIT_SQL = load_queries(__file__, "audit.sql")


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One stage: which service, when it committed, and what."""

    stage: str
    at: datetime
    detail: dict[str, Any]


class Timelines:
    """Gathers timelines."""

    def __init__(self, transfers: TransferReads, ledger: LedgerReads, audit: Database) -> None:
        self._transfers = transfers
        self._ledger = ledger
        self._audit = audit

    async def of(self, view: TransferView, *, with_books: bool = False) -> list[Stage]:
        """The stages that this transfer has passed, in the order in which it passes them.

        `with_books` tells what the entries did to the accounts. Positions and balances say how often an account has
        moved, and what is on it: that is its owner's and operators' alone.
        """
        stages = [Stage(stage="gateway", at=view.requested_at, detail={"request_id": view.request_id})]
        decided = (await self._transfers.decisions([view.transfer_id])).get(view.transfer_id)
        if decided is not None:
            screening = decided.screening
            verdict = {"verdict": screening.verdict, "policy": screening.policy, "reasons": screening.reasons}
            stages.append(Stage(stage="fraud", at=screening.decided_at, detail=verdict))
        if view.settled_at is not None:
            end = {
                "status": view.status,
                "failure_reason": view.failure_reason,
                "retry_count": view.retry_count,
            }
            stages.append(Stage(stage="transfer", at=view.settled_at, detail=end))
        stages += [
            Stage(stage="ledger", at=row["recorded_at"], detail=_entry(row, with_books=with_books))
            for row in await self._ledger.of_transfer(view.transfer_id)
        ]
        for row in await self._audit.fetch(AUDIT_SQL.rows_of_transfer, str(view.transfer_id)):
            detail = {"action": row["action"], "status": row["status"], "seq": row["seq"]}
            stages.append(Stage(stage="audit", at=row["recorded_at"], detail=detail))
        return stages


def _entry(row: Row, *, with_books: bool) -> dict[str, Any]:
    if not with_books:
        return {"direction": row["direction"]}
    amounts = {
        name: to_text(row[f"{name}_minor"], row["currency"]) for name in ("amount", "balance_before", "balance_after")
    }
    return {name: row[name] for name in ("direction", "account_id", "account_seq", "currency")} | amounts
