"""Accounts as an operator looks for them, whoever owns them, deleted ones too."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain.found import FoundAccount, found_account
from services.gateway.http import paging
from services.gateway.http.openapi import PAGING, Call, Query
from services.gateway.http.responses import answer
from services.gateway.http.search_query import CURRENCIES, currency_filter
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Callers
from services.gateway.identity.store import IdentityStore
from services.gateway.reads.accounts import AccountFilter, AccountReads
from services.gateway.routes.accounts import cursor_after

_NAME_MAX = 255
_NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": _NAME_MAX, "pattern": r"^[^\x00]+$"}
_QUERY: Query = {
    "id": {"type": "string", "format": "uuid", "description": "A settlement account is found by it, too."},
    "owner_id": {"type": "string", "format": "uuid"},
    "owner_email": {**_NAME, "description": "The address of a user, in any case."},
    "owner_reference": {**_NAME, "description": "How the operator's books call an owner without a login."},
    "currency": {"type": "string", "enum": CURRENCIES},
    "include_deleted": {"type": "boolean", "default": False},
    **PAGING,
}


class FindingRoutes:
    """The call `/admin/accounts` that looks."""

    def __init__(self, callers: Callers, accounts: AccountReads, store: IdentityStore, activities: Activities) -> None:
        self._callers = callers
        self._accounts = accounts
        self._store = store
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        return [
            Call(method="GET", path="/api/v1/admin/accounts", endpoint=self.list, summary="Find accounts",
                 tag="operators", listed=FoundAccount, query=_QUERY, also=(403,)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """All accounts, or those of an owner or a currency, newest first, with their balances."""
        caller = await self._callers.admin(request)
        limit, place = paging.limit(request), paging.place(request)
        chosen = AccountFilter(
            id=paging.uuid_filter(request, "id"),
            owner_id=paging.uuid_filter(request, "owner_id"),
            currency=currency_filter(request),
            include_deleted=paging.flag(request, "include_deleted"),
        )
        email, reference = (
            paging.text_filter(request, name, chars_max=_NAME_MAX) for name in ("owner_email", "owner_reference")
        )
        before = None if place is None else (place.created_at, place.id)
        wanted = await self._of_owner(chosen, email, reference)
        found = [] if wanted is None else await self._accounts.find(wanted, before=before, limit=limit + 1)
        names = await self._store.names_of([view.owner_id for view in found if view.owner_id is not None])
        filters = {"owner_email": email, "owner_reference": reference, **msgspec.structs.asdict(chosen)}
        told = {name: value for name, value in filters.items() if value not in {None, False}}
        details = {"act": "list_accounts", "filters": told}
        await self._activities.tell(activity("ADMIN", "account", chosen.id, caller.context, details=details))
        items = [found_account(view, *_name(names, view.owner_id)) for view in found[:limit]]
        return answer(paging.Page(items=items, next_cursor=cursor_after(found, limit)))

    async def _of_owner(self, chosen: AccountFilter, email: str | None, reference: str | None) -> AccountFilter | None:
        """The filter with the owner who is so called; None: there is none, or it is another one than was asked for."""
        named = [(email, None)] * (email is not None) + [(None, reference)] * (reference is not None)
        for name in named:
            owners = await self._store.owners_known_as(*name)
            if chosen.owner_id is not None:
                owners &= {chosen.owner_id}
            if not owners:
                return None
            chosen = msgspec.structs.replace(chosen, owner_id=owners.pop())
        return chosen


def _name(names: dict[UUID, tuple[str | None, str | None]], owner_id: UUID | None) -> tuple[str | None, str | None]:
    return names.get(owner_id, (None, None)) if owner_id is not None else (None, None)
