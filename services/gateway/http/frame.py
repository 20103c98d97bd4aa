"""The frame around every request: its id, and an answer in one form whatever goes wrong. Pure ASGI, for speed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import structlog
from prometheus_client import Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.gateway.errors import (
    ContentTooLarge,
    MethodNotAllowed,
    NotFound,
    Problem,
    ServiceUnavailable,
)
from services.gateway.http.responses import problem_response
from shared.contracts.naming import named_request
from shared.database import is_transient
from shared.ids import random_id
from shared.observability import traces
from shared.observability.metrics import DURATIONS_S

log = structlog.get_logger(__name__)

ANSWERS = Counter("remit_http_answers_total", "Answers by route and status.", ["route", "method", "status"])
SECONDS = Histogram(
    "remit_http_seconds",
    "From the request's head to the answer's last byte.",
    ["route", "method"],
    buckets=DURATIONS_S,
)

_SANE_ID = re.compile(rb"[\x20-\x7e]{1,128}")
# Under this name the protocol hands in what the call holds of the gateway's bounds (`admission.Ticket`).
TICKET = "ticket"
# And under this one stands the call as traces see it.
_CALL = "call"
_API = "/api/"
# Nobody guesses another type.
_ALWAYS = ((b"x-content-type-options", b"nosniff"),)
# Answers are money and names: no cache keeps them, but those that say otherwise.
_UNKEPT = (*_ALWAYS, (b"cache-control", b"no-store"))


def request_id_of(scope: Scope) -> str:
    """The id of this request."""
    state: dict[str, Any] = scope["state"]
    return str(state["request_id"])


def traceparent_of(scope: Scope) -> str:
    """What the messages of this call bear; empty where it is not traced."""
    call: traces.Call | None = scope["state"].get(_CALL)
    return "" if call is None else call.traceparent


class Frame:
    """Gives each request its id, echoes it, counts the answer, and turns every error into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = request_id_in(scope["headers"])
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        ticket = state.get(TICKET)
        call = state[_CALL] = traces.begin(scope["headers"], request_id) if scope["path"].startswith(_API) else None
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if ticket is not None:
                    ticket.leave()
                if call is not None:
                    call.answers(status, message["headers"])
                headers = message["headers"]
                always = _ALWAYS if any(name == b"cache-control" for name, _ in headers) else _UNKEPT
                message["headers"] = [*headers, (b"x-request-id", request_id.encode("latin-1")), *always]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if status:
                log.error("answer_broken_off", **named_request(request_id, traceparent_of(scope)), exc_info=error)
                raise
            await problem_response(problem_of(error, scope), request_id)(scope, receive, send_with_id)
        finally:
            if ticket is not None:
                ticket.leave()
            route = getattr(scope.get("route"), "path", "none")
            _count(route, scope["method"], status, time.perf_counter() - started)
            if call is not None:
                call.end(scope["method"], route)


def problem_of(error: Exception, scope: Scope) -> Problem:
    """The problem that an error is to the client; what it is inside stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_framework(error)
    request = named_request(request_id_of(scope), traceparent_of(scope))
    if is_transient(error):
        log.warning("unavailable", **request, error=repr(error))
        return ServiceUnavailable("A server that this call needs does not answer.")
    log.error("internal_error", **request, exc_info=error)
    return Problem("The error is in the log under this request id.")


def _of_framework(error: HTTPException) -> Problem:
    known = {404: NotFound, 405: MethodNotAllowed, 413: ContentTooLarge}.get(error.status_code, Problem)
    problem = known()
    problem.headers = dict(error.headers or {})
    return problem


def request_id_in(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The client's id for its request if it is sane, else a new one."""
    for name, value in headers:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return bytes(value).decode("ascii")
    return random_id().hex


def _count(route: str, method: str, status: int, seconds: float) -> None:
    answers, latency = _meters(route, method if route != "none" else "any", status)
    answers.inc()
    latency.observe(seconds)


def count_refused(status: int) -> None:
    """Counts an answer that was given before there was a route."""
    _meters("none", "any", status)[0].inc()


# The library looks a child up under a lock each time; what is bounded here is the number of routes.
@lru_cache(maxsize=1_024)
def _meters(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return ANSWERS.labels(route, method, status), SECONDS.labels(route, method)
