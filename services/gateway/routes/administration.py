"""What an operator looks after: all accounts, deleted ones too, and whether the ledger explains them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.accounts import AccountCommands
from services.gateway.domain import bodies
from services.gateway.domain.bodies import AccountBody
from services.gateway.domain.ledger_verification import CATCHING_UP, MISMATCH, VERIFIED, Verification
from services.gateway.domain.views import AccountView
from services.gateway.errors import AccountNotFound
from services.gateway.http import paging
from services.gateway.http.openapi import PAGING, Call, Query
from services.gateway.http.reading import command_wait_s, path_id
from services.gateway.http.responses import answer
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.ledger import LedgerReads
from services.gateway.routes.accounts import account_page
from shared.money import to_text

_MISMATCHES_MAX = 1_000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one currency's entries, in major units."""

    debits: str
    credits: str


class BookVerification(msgspec.Struct, frozen=True, kw_only=True):
    """The whole book; at most a thousand mismatches are named."""

    status: str
    accounts: int
    entries: int
    mismatches: list[Verification]
    totals: dict[str, Totals]


class AdministrationRoutes:
    """The calls under `/admin` that look and mend."""

    def __init__(
        self,
        callers: Callers,
        commands: AccountCommands,
        accounts: AccountReads,
        ledger: LedgerReads,
        activities: Activities,
    ) -> None:
        self._callers = callers
        self._commands = commands
        self._accounts = accounts
        self._ledger = ledger
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/admin", "operators"
        query: Query = {
            "include_deleted": {"type": "boolean", "default": False},
            "owner_id": {"type": "string", "format": "uuid"},
            **PAGING,
        }
        return [
            Call(method="GET", path=f"{at}/accounts", endpoint=self.list, summary="All accounts", tag=tag,
                 listed=AccountBody, query=query, also=(403,)),
            Call(method="POST", path=f"{at}/accounts/{{account_id}}/restore", endpoint=self.restore, tag=tag,
                 summary="Bring a deleted account back", answers=AccountBody, also=(403, 404), waits=True),
            Call(method="GET", path=f"{at}/ledger/verify", endpoint=self.verify_book, summary="Verify the whole book",
                 tag=tag, answers=BookVerification, also=(403,)),
            Call(method="GET", path=f"{at}/ledger/verify/{{account_id}}", endpoint=self.verify_account, tag=tag,
                 summary="Verify an account", answers=Verification, also=(403, 404)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """Accounts of one owner or of all."""
        caller = await self._callers.admin(request)
        owner_id, with_deleted = paging.uuid_filter(request, "owner_id"), paging.flag(request, "include_deleted")
        found = await account_page(request, self._accounts, owner_id, with_deleted=with_deleted, tell_deletion=True)
        await self._tell(caller, "list_accounts", None)
        return found

    async def restore(self, request: Request) -> Response:
        """The account is back; its history never went."""
        caller = await self._callers.admin(request)
        account_id = path_id(request, "account_id", AccountNotFound)
        restored: AccountView = await self._commands.restore(caller, account_id, command_wait_s(request))
        return answer(bodies.account(restored, tell_deletion=True))

    async def verify_account(self, request: Request) -> Response:
        """Whether the ledger explains this account, deleted or not."""
        caller = await self._callers.admin(request)
        account_id = path_id(request, "account_id", AccountNotFound)
        verified = await self._ledger.verify([account_id])
        if not verified:
            raise AccountNotFound
        await self._tell(caller, "verify_ledger", str(account_id), status=verified[0].status)
        return answer(verified[0])

    async def verify_book(self, request: Request) -> Response:
        """Whether it explains all of them, page by page."""
        caller = await self._callers.admin(request)
        found = await verified_book(self._ledger)
        await self._tell(caller, "verify_book", None, status=found.status, accounts=found.accounts)
        return answer(found)

    async def _tell(self, caller: Caller, act: str, account_id: str | None, **details: Any) -> None:
        await self._activities.tell(
            activity("ADMIN", "account", account_id, caller.context, details={"act": act, **details})
        )


async def verified_book(ledger: LedgerReads) -> BookVerification:
    """The whole book, verified account by account."""
    accounts = entries = 0
    mismatches: list[Verification] = []
    statuses: set[str] = set()
    debits: Counter[str] = Counter()
    credited: Counter[str] = Counter()
    async for page in ledger.whole_book():
        for found, currency in page:
            accounts += 1
            entries += found.entries
            statuses.add(found.status)
            debits[currency] += _minor(found.total_debits)
            credited[currency] += _minor(found.total_credits)
            if found.status == MISMATCH and len(mismatches) < _MISMATCHES_MAX:
                mismatches.append(found)
    totals = {
        code: Totals(debits=to_text(debits[code], code), credits=to_text(credited[code], code))
        for code in sorted(debits)
        if debits[code] or credited[code]
    }
    status = next((s for s in (MISMATCH, CATCHING_UP) if s in statuses), VERIFIED)
    return BookVerification(status=status, accounts=accounts, entries=entries, mismatches=mismatches, totals=totals)


def _minor(amount: str) -> int:
    return int(amount.replace(".", ""))
