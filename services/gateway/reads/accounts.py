"""Accounts as `transfer` has committed them, and the outcomes of the commands that changed them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from services.gateway.domain.views import AccountView
from services.gateway.reads.transfers import TRANSFER_SQL
from shared.contracts.envelope import decode_item
from shared.contracts.transfer import AccountChanged
from shared.database import Database, Row


class AccountReads:
    """Reads of accounts."""

    def __init__(self, transfer: Database) -> None:
        self._transfer = transfer

    async def account(self, account_id: UUID) -> AccountView | None:
        """One account, deleted or not."""
        return (await self.accounts([account_id])).get(account_id)

    async def live(self, account_id: UUID) -> AccountView | None:
        """One account that is not deleted."""
        row = await self._transfer.fetchrow(TRANSFER_SQL.live_account, account_id)
        return None if row is None else _live(row)

    async def accounts(self, account_ids: Sequence[UUID]) -> dict[UUID, AccountView]:
        """Those of these accounts that exist, deleted or not."""
        rows = await self._transfer.fetch(TRANSFER_SQL.accounts, list(account_ids))
        return {row["account_id"]: _view(row) for row in rows}

    async def page(
        self, owner_id: UUID | None, *, with_deleted: bool, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[AccountView]:
        """Accounts of one owner, or of all, newest first; settlement accounts belong to nobody's list."""
        moment, place = before or (None, None)
        if with_deleted:
            rows = await self._transfer.fetch(TRANSFER_SQL.list_all_accounts, owner_id, moment, place, limit)
            return [_view(row) for row in rows]
        rows = await self._transfer.fetch(TRANSFER_SQL.list_live_accounts, owner_id, moment, place, limit)
        return [_live(row) for row in rows]

    async def ids_after(self, account_id: UUID | None, limit: int) -> list[UUID]:
        """Ids of all accounts, settlement accounts too, in order."""
        return [row["id"] for row in await self._transfer.fetch(TRANSFER_SQL.list_account_ids, account_id, limit)]

    async def outcomes(self, command_ids: Sequence[UUID]) -> dict[UUID, AccountChanged]:
        """How those of these commands that have ended did end."""
        rows = await self._transfer.fetch(TRANSFER_SQL.command_outcomes, list(command_ids))
        read = {row["command_id"]: decode_item(AccountChanged.TYPE, row["outcome"]) for row in rows}
        return {command_id: item for command_id, item in read.items() if isinstance(item, AccountChanged)}


def _view(row: Row) -> AccountView:
    return AccountView(**{field: row[field] for field in AccountView.__struct_fields__})


def _live(row: Row) -> AccountView:
    """The view of live accounts has no column that could say otherwise."""
    return AccountView(**{field: row[field] for field in AccountView.__struct_fields__ if field != "is_deleted"})
