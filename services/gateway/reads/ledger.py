"""Statements, and the reads that verification rests on, in the order in which it needs them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.gateway.domain.ledger_verification import Books, Posted, Stand, Verification, verify
from services.gateway.domain.views import EntryView
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.transfers import TRANSFER_SQL
from shared.database import Database, load_queries

LEDGER_SQL = load_queries(__file__, "ledger.sql")

_ACCOUNTS_TOGETHER = 500


class LedgerReads:
    """Reads of the schema `ledger`, and of `transfer` where the two are compared."""

    def __init__(self, ledger: Database, transfer: Database, accounts: AccountReads, *, lag_max_s: float) -> None:
        self._ledger = ledger
        self._transfer = transfer
        self._accounts = accounts
        self._lag_max_s = lag_max_s

    async def position(self, account_id: UUID) -> int:
        """Up to where the account's entries are without a gap."""
        row = await self._ledger.fetchrow(LEDGER_SQL.position, account_id)
        if row is None or row["entries"] == row["top"]:
            return 0 if row is None else int(row["top"])
        return int(await self._ledger.fetchval(LEDGER_SQL.position_before_gap, account_id))

    async def entries(
        self, account_id: UUID, *, below: int, limit: int, start: datetime | None, end: datetime | None
    ) -> list[EntryView]:
        """Entries below a position and from `start` to before `end`, newest first."""
        rows = await self._ledger.fetch(LEDGER_SQL.list_entries, account_id, below, limit, start, end)
        return [EntryView(**{field: row[field] for field in EntryView.__struct_fields__}) for row in rows]

    async def of_transfer(self, transfer_id: UUID) -> Sequence[Any]:
        """The two entries of a transfer, if they are there."""
        return await self._ledger.fetch(LEDGER_SQL.entries_of_transfer, transfer_id)

    async def verify(self, account_ids: Sequence[UUID]) -> list[Verification]:
        """These accounts, those that exist; the ledger first, then what it must agree with."""
        books = await self._books(account_ids)
        accounts = await self._accounts.accounts(account_ids)
        postings = await self._postings([b.transfer_id for b in books.values() if b.transfer_id is not None])
        verified = []
        for account_id in account_ids:
            account = accounts.get(account_id)
            if account is None:
                continue
            own = books.get(account_id, Books())
            stand = Stand(
                account_id=account_id,
                currency=account.currency,
                balance_minor=account.balance_minor,
                account_seq=account.account_seq,
            )
            posted = postings.get((own.transfer_id, account_id)) if own.transfer_id else None
            since = await self._missing_since(own, stand)
            verified.append(verify(own, stand, posted, since, now=datetime.now(UTC), lag_max_s=self._lag_max_s))
        return verified

    async def count_accounts(self) -> int:
        """How many accounts there are, settlement accounts and deleted ones too."""
        return int(await self._transfer.fetchval(TRANSFER_SQL.count_accounts))

    async def whole_book(self) -> AsyncIterator[list[Verification]]:
        """All accounts, in pages of bounded size, in order of their ids."""
        last: UUID | None = None
        while page := await self._accounts.ids_after(last, _ACCOUNTS_TOGETHER):
            last = page[-1]
            yield await self.verify(page)

    async def _books(self, account_ids: Sequence[UUID]) -> dict[UUID, Books]:
        rows = await self._ledger.fetch(LEDGER_SQL.books, list(account_ids))
        return {row["account_id"]: _books_of(row) for row in rows}

    async def _postings(self, transfer_ids: Sequence[UUID]) -> dict[tuple[UUID, UUID], Posted]:
        rows = await self._transfer.fetch(TRANSFER_SQL.postings, list(transfer_ids))
        found: dict[tuple[UUID, UUID], Posted] = {}
        for row in rows:
            for side, account in (("debit", "from_account_id"), ("credit", "to_account_id")):
                if row[f"{side}_seq"] is not None:
                    found[row["id"], row[account]] = Posted(
                        account_seq=row[f"{side}_seq"], balance_after_minor=row[f"{side}_balance_after_minor"]
                    )
        return found

    async def _missing_since(self, books: Books, stand: Stand) -> datetime | None:
        if stand.account_seq <= books.position:
            return None
        since: datetime | None = await self._transfer.fetchval(
            TRANSFER_SQL.oldest_posting_after, stand.account_id, books.position
        )
        return since


def _books_of(row: Any) -> Books:
    # Sums of bigints come as numeric.
    values = {name: row[name] for name in Books.__struct_fields__}
    for name in ("debits_minor", "credits_minor", "balance_minor"):
        values[name] = int(values[name] or 0)
    return Books(**values)
