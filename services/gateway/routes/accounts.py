"""A customer's accounts and their statements."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.accounts import AccountCommands
from services.gateway.domain import bodies, ids, parsing, requests
from services.gateway.domain.bodies import AccountBody, EntryBody
from services.gateway.domain.views import AccountView
from services.gateway.errors import AccountNotFound
from services.gateway.http import paging
from services.gateway.http.openapi import DATES, PAGING, Call
from services.gateway.http.reading import Reader, command_wait_s, idempotency_key, path_id
from services.gateway.http.responses import answer, nothing
from services.gateway.idempotency.metrics import counted, replay_or_claim
from services.gateway.identity.activity import BLOCKED, SUCCESS, Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.ledger import LedgerReads


class AccountRoutes:
    """The calls under `/accounts`."""

    def __init__(
        self,
        reader: Reader,
        callers: Callers,
        commands: AccountCommands,
        accounts: AccountReads,
        ledger: LedgerReads,
        activities: Activities,
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._commands = commands
        self._accounts = accounts
        self._ledger = ledger
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, one, tag = "/api/v1/accounts", "/api/v1/accounts/{account_id}", "accounts"
        return [
            Call(method="POST", path=at, endpoint=self.open, summary="Open an account", tag=tag, key="optional",
                 body=requests.OpenAccount, answers=AccountBody, status=201, also=(409,), waits=True),
            Call(method="GET", path=at, endpoint=self.list, summary="My accounts", tag=tag, listed=AccountBody,
                 query=PAGING),
            Call(method="GET", path=one, endpoint=self.read, summary="One account", tag=tag, answers=AccountBody,
                 also=(404,)),
            Call(method="PATCH", path=one, endpoint=self.rename, summary="Rename an account", tag=tag,
                 body=requests.RenameAccount, answers=AccountBody, also=(404,), waits=True),
            Call(method="DELETE", path=one, endpoint=self.close, summary="Delete an empty account", tag=tag, status=204,
                 also=(404, 409), waits=True),
            Call(method="GET", path=f"{one}/entries", endpoint=self.entries, summary="The account's statement", tag=tag,
                 listed=EntryBody, also=(404,), query={**DATES, **PAGING}),
        ]  # fmt: skip

    async def open(self, request: Request) -> Response:
        """A new account of the caller."""
        caller = await self._callers.of(request)
        key = idempotency_key(request)
        body = await self._reader.body(request, requests.OpenAccount)
        name, currency = parsing.checked(
            lambda: parsing.visible(body.name, "name"), lambda: parsing.currency(body.currency)
        )
        opening = self._commands.open(caller, name, currency, key=key, wait_s=command_wait_s(request))
        if key is not None:
            opening = counted(ids.ACCOUNTS, opening, lambda found: replay_or_claim(found[1]))
        account, is_replay = await opening
        headers = {"Location": f"/api/v1/accounts/{account.account_id}"}
        if is_replay and key is not None:
            headers["Idempotent-Replayed"] = "true"
        return answer(bodies.account(account), 201, headers)

    async def list(self, request: Request) -> Response:
        """The caller's accounts, newest first."""
        caller = await self._callers.of(request)
        return await account_page(request, self._accounts, caller.user_id)

    async def read(self, request: Request) -> Response:
        """One account of the caller; any, for an operator."""
        caller = await self._callers.of(request)
        return answer(bodies.account(await self._seen(request, caller)))

    async def rename(self, request: Request) -> Response:
        """The account under another name."""
        caller = await self._callers.of(request)
        body = await self._reader.body(request, requests.RenameAccount)
        (name,) = parsing.checked(lambda: parsing.visible(body.name, "name"))
        account_id = path_id(request, "account_id", AccountNotFound)
        return answer(bodies.account(await self._commands.rename(caller, account_id, name, command_wait_s(request))))

    async def close(self, request: Request) -> Response:
        """The account is gone, if nothing is on it."""
        caller = await self._callers.of(request)
        await self._commands.close(caller, path_id(request, "account_id", AccountNotFound), command_wait_s(request))
        return nothing()

    async def entries(self, request: Request) -> Response:
        """What moved the account, newest first, as far as the ledger is without a gap; dates are of settlement."""
        caller = await self._callers.of(request)
        limit, below, (start, end) = paging.limit(request), paging.position(request), paging.time_range(request)
        account = await self._seen(request, caller)
        position = await self._ledger.position(account.account_id)
        top = position + 1 if below is None else min(below.account_seq, position + 1)
        found = await self._ledger.entries(account.account_id, below=top, limit=limit + 1, start=start, end=end)
        items = [bodies.entry(entry) for entry in found[:limit]]
        more = len(found) > limit
        cursor = paging.cursor_text(paging.Position(items[-1].account_seq)) if more else None
        return answer(paging.Page(items=items, next_cursor=cursor))

    async def _seen(self, request: Request, caller: Caller) -> AccountView:
        """The account, if this caller may see it; told to the audit before it is answered, seen or not.

        Raises:
            AccountNotFound: there is none, or it is somebody else's: the answers are the same.
        """
        account_id = path_id(request, "account_id", AccountNotFound)
        account = await self._accounts.live(account_id)
        if not may_see(caller, account):
            await self._tell(caller, account_id, status=BLOCKED, error="account_not_found")
            raise AccountNotFound
        if account is None:
            raise AccountNotFound
        await self._tell(caller, account_id)
        return account

    async def _tell(self, caller: Caller, account_id: UUID, status: str = SUCCESS, error: str | None = None) -> None:
        act = activity("ACCOUNT_ACCESS", "account", account_id, caller.context, status=status, error=error)
        await self._activities.tell(act)


def may_see(caller: Caller, account: AccountView | None) -> bool:
    """Owners see their own accounts, operators all."""
    if account is None:
        return False
    return caller.is_admin or account.owner_id == caller.user_id


async def account_page(request: Request, accounts: AccountReads, owner_id: UUID) -> Response:
    """One page of an owner's accounts."""
    limit, place = paging.limit(request), paging.place(request)
    before = None if place is None else (place.created_at, place.id)
    found = await accounts.page(owner_id, before=before, limit=limit + 1)
    items = [bodies.account(account) for account in found[:limit]]
    return answer(paging.Page(items=items, next_cursor=cursor_after(found, limit)))


def cursor_after(found: Sequence[AccountView], limit: int) -> str | None:
    """That of the next page, if more than `limit` were found."""
    last = found[limit - 1] if len(found) > limit else None
    return paging.cursor_text(paging.Place(last.created_at, last.account_id)) if last else None
