"""Transfers as an operator looks for them, and where one of them is."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain.found import TransferSearchPage, found_transfer
from services.gateway.errors import TransferNotFound
from services.gateway.http import paging
from services.gateway.http.openapi import Call
from services.gateway.http.reading import path_id
from services.gateway.http.responses import answer
from services.gateway.http.search_query import SEARCHED, search, told
from services.gateway.identity.activity import BLOCKED, SUCCESS, Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.transfer_search import TransferSearch
from services.gateway.reads.whole_timeline import WholeTimeline, WholeTimelines


class SearchRoutes:
    """The calls under `/admin/transfers` that look."""

    def __init__(
        self, callers: Callers, searching: TransferSearch, timelines: WholeTimelines, activities: Activities
    ) -> None:
        self._callers = callers
        self._searching = searching
        self._timelines = timelines
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        return [
            Call(method="GET", path="/api/v1/admin/transfers", endpoint=self.list, summary="Find transfers",
                 tag="operators", answers=TransferSearchPage, query=SEARCHED, also=(403,)),
            Call(method="GET", path="/api/v1/admin/transfers/{transfer_id}/timeline", endpoint=self.timeline,
                 summary="All that is known of a transfer, and why it is stuck", tag="operators",
                 answers=WholeTimeline, also=(403, 404)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """All that matches, in whatever state, newest first. A page looks at a bounded number of transfers: where few
        of them match it may be short, or empty, and `next_cursor` goes on from there. Not among them is what never
        became a transfer: requests that were refused at once, and a key used again with another payload (the audit log
        has those)."""
        caller = await self._callers.admin(request)
        limit, place, chosen = paging.limit(request), paging.place(request), search(request)
        before = None if place is None else (place.created_at, place.id)
        found = await self._searching.page(chosen, before, limit)
        details = {"act": "search_transfers", "filters": told(chosen)}
        await self._activities.tell(activity("ADMIN", "transaction", chosen.id, caller.context, details=details))
        following = found.next_place
        return answer(
            TransferSearchPage(
                items=[found_transfer(view) for view in found.items],
                next_cursor=None if following is None else paging.cursor_text(paging.Place(*following)),
                searched_to=None if following is None else following[0],
                unknown=found.unknown,
            )
        )

    async def timeline(self, request: Request) -> Response:
        """When each stage had it, its verdict, entries, audit rows and dead letters; hidden ones, too. Where it waits,
        `stuck_because` says why in a sentence, and `waits` on what evidence."""
        caller = await self._callers.admin(request)
        transfer_id = path_id(request, "transfer_id", TransferNotFound)
        view = await self._searching.one(transfer_id)
        if view is None:
            await self._tell(caller, transfer_id, status=BLOCKED, error=TransferNotFound.code)
            raise TransferNotFound
        found = await self._timelines.of(view)
        await self._tell(caller, transfer_id)
        return answer(found)

    async def _tell(self, caller: Caller, transfer_id: UUID, status: str = SUCCESS, error: str | None = None) -> None:
        act = activity("ACCOUNT_ACCESS", "transaction", transfer_id, caller.context, status=status, error=error)
        await self._activities.tell(act)
