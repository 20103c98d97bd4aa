"""Where transfers are, at one look or at one after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain.pipeline import PipelineBody, body_of
from services.gateway.domain.problems import Bounds, problems_of
from services.gateway.http.openapi import Call
from services.gateway.http.responses import answer
from services.gateway.http.streams import EVENT_STREAM, Events, Places, event, nothing_sent
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.pipeline import PipelineReads
from shared.database import is_transient

# Each holds a connection; the looks themselves are shared.
STREAMS_MAX = 32
_EVERY_S = 2.0
# For the database to say whether the caller still is one: whoever reads must not take its silence for the gateway's.
_ASKED_MAX_S = 1.0
# Then the console opens the next one: a proxy in front may have moved it elsewhere by then.
_STREAM_MAX_S = 600.0


class PipelineRoutes:
    """The calls under `/admin/pipeline`."""

    def __init__(
        self, callers: Callers, reads: PipelineReads, bounds: Bounds, activities: Activities, stop: asyncio.Event
    ) -> None:
        self._callers = callers
        self._reads = reads
        self._bounds = bounds
        self._activities = activities
        self._stop = stop
        self._streams = Places(STREAMS_MAX, "streams of the pipeline are open on this gateway.")

    def calls(self) -> list[Call]:
        """The table."""
        return [
            Call(method="GET", path="/api/v1/admin/pipeline", endpoint=self.look, tag="operators",
                 summary="Where transfers are, and what is wrong", answers=PipelineBody, also=(403,)),
            Call(method="GET", path="/api/v1/admin/pipeline/events", endpoint=self.events, tag="operators",
                 summary="The same, again and again", also=(403,), produces=(EVENT_STREAM,)),
        ]  # fmt: skip

    async def look(self, request: Request) -> Response:
        """The five stages as they were at most a second ago, however many ask. A part that cannot be looked at is null,
        and `unknown` says why; the others are answered all the same."""
        caller = await self._callers.admin(request)
        look = await self._reads.look()
        problems = problems_of(look, self._bounds)
        await self._tell(caller, "read_pipeline", problems=sorted({problem.code for problem in problems}))
        return answer(body_of(look, problems))

    async def events(self, request: Request) -> Response:
        """An event `look` every two seconds, with what the look itself answers; audited once, at opening. The stream
        ends with an event `end` after ten minutes, or when the caller's token or the gateway itself ends. Silence for
        ten seconds means that the connection is gone."""
        caller = await self._callers.admin(request)
        with self._streams.taken() as place:
            await self._tell(caller, "watch_pipeline")
            return place.kept_by(Events(nothing_sent() if request.method == "HEAD" else self._looks(caller)))

    async def _looks(self, caller: Caller) -> AsyncGenerator[bytes]:
        end_s = time.monotonic() + _STREAM_MAX_S
        while time.monotonic() < end_s and not self._stop.is_set() and await self._stands(caller):
            look = await self._reads.look()
            yield event("look", body_of(look, problems_of(look, self._bounds)))
            with suppress(TimeoutError):
                async with asyncio.timeout(_EVERY_S):
                    await self._stop.wait()
        yield event("end", {})

    async def _stands(self, caller: Caller) -> bool:
        try:
            async with asyncio.timeout(_ASKED_MAX_S):
                return await self._callers.stands(caller)
        except Exception as error:
            if not (is_transient(error) or isinstance(error, TimeoutError)):
                raise
            # The view that explains an outage goes on through it, but not beyond its token.
            return caller.claims.exp > time.time()

    async def _tell(self, caller: Caller, act: str, **details: Any) -> None:
        said = {"act": act, **details}
        await self._activities.tell(activity("ADMIN", "transaction", None, caller.context, details=said))
