"""Accounts as `transfer` has committed them, and the outcomes of the commands that changed them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.gateway.domain.views import AccountView
from services.gateway.reads.transfers import TRANSFER_SQL
from shared.contracts.envelope import decode_item
from shared.contracts.transfer import AccountChanged
from shared.database import Database, Row


class AccountFilter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which accounts: all that is given must hold."""

    id: UUID | None = None
    owner_id: UUID | None = None
    currency: str | None = None
    include_deleted: bool = False

    def takes(self, view: AccountView, before: tuple[datetime, UUID] | None) -> bool:
        """The same choice for one that was found by its id."""
        return (
            self.owner_id in {None, view.owner_id}
            and self.currency in {None, view.currency}
            and (self.include_deleted or not view.is_deleted)
            and (before is None or (view.created_at, view.account_id) < before)
        )


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

    async def page(self, owner_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int) -> list[AccountView]:
        """Accounts of one owner that are not deleted, newest first."""
        moment, place = before or (None, None)
        rows = await self._transfer.fetch(TRANSFER_SQL.list_live_accounts, owner_id, moment, place, limit)
        return [_live(row) for row in rows]

    async def find(
        self, chosen: AccountFilter, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[AccountView]:
        """Accounts as an operator looks for them, newest first. A settlement account is found by its id alone."""
        if chosen.id is not None:
            found = await self.account(chosen.id)
            return [found] if found is not None and chosen.takes(found, before) else []
        moment, place = before or (None, None)
        rows = await self._transfer.fetch(
            TRANSFER_SQL.find_accounts, chosen.owner_id, chosen.currency, chosen.include_deleted, moment, place, limit
        )
        return [_view(row) for row in rows]

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
