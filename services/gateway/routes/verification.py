"""Whether the ledger explains an account, or all of them: as an answer, or with what was found on the way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.background import on_the_way
from services.gateway.domain.book import BookTally, BookVerification
from services.gateway.domain.ledger_verification import Verification
from services.gateway.errors import AccountNotFound
from services.gateway.http.openapi import Call
from services.gateway.http.reading import path_id
from services.gateway.http.responses import answer
from services.gateway.http.streams import EVENT_STREAM, Events, Places, found_at_last, nothing_sent
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.ledger import LedgerReads

# Each reads the whole ledger.
WALKS_MAX = 4
_EVERY_S = 0.5


class VerificationRoutes:
    """The calls under `/admin/ledger/verify`."""

    def __init__(self, callers: Callers, ledger: LedgerReads, activities: Activities, stop: asyncio.Event) -> None:
        self._callers = callers
        self._ledger = ledger
        self._activities = activities
        self._stop = stop
        self._walks = Places(WALKS_MAX, "verifications of the whole book run on this gateway.")

    def calls(self) -> list[Call]:
        """The table. What is no id is tried before ids are."""
        at, tag = "/api/v1/admin/ledger/verify", "operators"
        return [
            Call(method="GET", path=at, endpoint=self.book, summary="Verify the whole book", tag=tag,
                 answers=BookVerification, also=(403,)),
            Call(method="GET", path=f"{at}/events", endpoint=self.events, tag=tag,
                 summary="The same, and how far it has come", also=(403,), produces=(EVENT_STREAM,)),
            Call(method="GET", path=f"{at}/{{account_id}}", endpoint=self.account, tag=tag, summary="Verify an account",
                 answers=Verification, also=(403, 404)),
        ]  # fmt: skip

    async def account(self, request: Request) -> Response:
        """Whether the ledger explains this account, deleted or not."""
        caller = await self._callers.admin(request)
        account_id = path_id(request, "account_id", AccountNotFound)
        verified = await self._ledger.verify([account_id])
        if not verified:
            raise AccountNotFound
        await self._tell(caller, "verify_ledger", str(account_id), status=verified[0].status)
        return answer(verified[0])

    async def book(self, request: Request) -> Response:
        """Whether it explains all of them, page by page."""
        caller = await self._callers.admin(request)
        tally = BookTally()
        await self._walk(tally)
        found = tally.found()
        await self._tell(caller, "verify_book", None, status=found.status, accounts=found.accounts)
        return answer(found)

    async def events(self, request: Request) -> Response:
        """Events `progress` twice a second, then one `result` with what the call itself answers, then `end`; audited
        once, at opening. Without a `result` nothing was found out: the caller's token or the gateway itself has ended.
        A gateway makes four of these at a time."""
        caller = await self._callers.admin(request)
        with self._walks.taken() as place:
            await self._tell(caller, "watch_book_verification", None)
            if request.method == "HEAD":
                return Events(nothing_sent())
            tally, begun_s = BookTally(await self._ledger.count_accounts()), time.monotonic()

            async def walked() -> BookVerification:
                await self._walk(tally)
                return tally.found()

            async def goes_on() -> bool:
                return not self._stop.is_set() and await self._callers.stands(caller)

            steps = on_the_way(walked, lambda: tally.so_far(time.monotonic() - begun_s), every_s=_EVERY_S)
            return place.kept_by(Events(found_at_last(steps, BookVerification, goes_on)))

    async def _walk(self, tally: BookTally) -> None:
        async for page in self._ledger.whole_book():
            tally.add(page)

    async def _tell(self, caller: Caller, act: str, account_id: str | None, **details: Any) -> None:
        await self._activities.tell(
            activity("ADMIN", "account", account_id, caller.context, details={"act": act, **details})
        )
