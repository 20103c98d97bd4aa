"""Dead letters: what the workers could not carry, for an operator to look at, replay or discard."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.dead_letters import DeadLetterActs
from services.gateway.errors import DeadLetterNotFound
from services.gateway.http import paging
from services.gateway.http.openapi import PAGING, Call, Query
from services.gateway.http.reading import path_id, wait_s
from services.gateway.http.responses import answer, nothing
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.dead_letters import DeadLetter, DeadLetterReads
from shared.contracts.gateway import DeadLetterAct

# Those that park; the gateway consumes no queue.
SERVICES = ("fraud", "transfer", "ledger", "audit")
_RETRY_AFTER_S = 1


class DeadLetterRoutes:
    """The calls under `/admin/dead-letters`."""

    def __init__(self, callers: Callers, reads: DeadLetterReads, acts: DeadLetterActs, activities: Activities) -> None:
        self._callers = callers
        self._reads = reads
        self._acts = acts
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, one, tag = "/api/v1/admin/dead-letters", "/api/v1/admin/dead-letters/{letter_id}", "operators"
        query: Query = {
            "service": {"type": "string", "enum": list(SERVICES)},
            "include_resolved": {"type": "boolean", "default": False},
            **PAGING,
        }
        return [
            Call(method="GET", path=at, endpoint=self.list, summary="What waits for an operator", tag=tag,
                 listed=DeadLetter, query=query, also=(403,)),
            Call(method="GET", path=one, endpoint=self.read, summary="One dead letter, whole", tag=tag,
                 answers=DeadLetter, also=(403, 404)),
            Call(method="POST", path=f"{one}/replay", endpoint=self.replay, summary="Try a dead letter again", tag=tag,
                 answers=DeadLetter, also=(202, 403, 404, 409), waits=True),
            Call(method="DELETE", path=one, endpoint=self.discard, summary="Give a dead letter up", tag=tag,
                 status=204, answers=DeadLetter, also=(202, 403, 404, 409), waits=True),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """Open letters of one service or of all, newest first."""
        caller = await self._callers.admin(request)
        limit, place = paging.limit(request), paging.place(request)
        service = paging.choice_filter(request, "service", SERVICES)
        found = await self._reads.page(
            [service] if service is not None else list(SERVICES),
            with_resolved=paging.flag(request, "include_resolved"),
            before=None if place is None else (place.created_at, place.id),
            limit=limit + 1,
        )
        await self._tell(caller, "list", None, service=service)
        last = found[limit - 1] if len(found) > limit else None
        cursor = paging.cursor_text(paging.Place(last.parked_at, last.id)) if last else None
        return answer(paging.Page(items=found[:limit], next_cursor=cursor))

    async def read(self, request: Request) -> Response:
        """The letter with its stack and its item, whole."""
        caller = await self._callers.admin(request)
        letter = await self._found(request)
        await self._tell(caller, "read", letter.id, service=letter.service)
        return answer(letter)

    async def replay(self, request: Request) -> Response:
        """The letter as its service leaves it: `resolution` is null where it has failed again."""
        caller = await self._callers.admin(request)
        letter = await self._found(request)
        after = await self._acts.act(caller, letter, DeadLetterAct.REPLAY, wait_s(request))
        return _accepted(letter) if after is None else answer(after)

    async def discard(self, request: Request) -> Response:
        """Nobody is asked about it any more; the row stays."""
        caller = await self._callers.admin(request)
        letter = await self._found(request)
        after = await self._acts.act(caller, letter, DeadLetterAct.DISCARD, wait_s(request))
        return _accepted(letter) if after is None else nothing()

    async def _found(self, request: Request) -> DeadLetter:
        letter = await self._reads.find(path_id(request, "letter_id", DeadLetterNotFound))
        if letter is None:
            raise DeadLetterNotFound
        return letter

    async def _tell(self, caller: Caller, act: str, letter_id: UUID | None, **details: Any) -> None:
        known = {name: value for name, value in details.items() if value is not None}
        await self._activities.tell(
            activity("ADMIN", "dead_letter", letter_id, caller.context, details={"act": act, **known})
        )


def _accepted(letter: DeadLetter) -> Response:
    headers = {"Location": f"/api/v1/admin/dead-letters/{letter.id}", "Retry-After": str(_RETRY_AFTER_S)}
    return answer(letter, 202, headers)
