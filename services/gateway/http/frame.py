"""The frame around every request: its id, and an answer in one form whatever goes wrong. Pure ASGI, for speed."""

from __future__ import annotations

import re
import time
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
from shared.database import is_transient
from shared.ids import random_id

log = structlog.get_logger(__name__)

ANSWERS = Counter("remit_http_answers_total", "Answers by route and status.", ["route", "method", "status"])
SECONDS = Histogram("remit_http_seconds", "From the request's head to the answer's last byte.", ["route", "method"])

_SANE_ID = re.compile(rb"[\x20-\x7e]{1,128}")
# Answers are money and names: no cache keeps them, and nobody guesses another type.
_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


def request_id_of(scope: Scope) -> str:
    """The id of this request."""
    state: dict[str, Any] = scope["state"]
    return str(state["request_id"])


class Frame:
    """Gives each request its id, echoes it, counts the answer, and turns every error into a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        status = 0
        started = time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode("latin-1")), *_ALWAYS]
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            if status:
                log.error("answer_broken_off", request_id=request_id, exc_info=error)
                raise
            await problem_response(problem_of(error, request_id), request_id)(scope, receive, send_with_id)
        finally:
            _count(scope, status, time.perf_counter() - started)


def problem_of(error: Exception, request_id: str) -> Problem:
    """The problem that an error is to the client; what it is inside stays in the log."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _of_framework(error)
    if is_transient(error):
        log.warning("unavailable", request_id=request_id, error=repr(error))
        return ServiceUnavailable("A server that this call needs does not answer.")
    log.error("internal_error", request_id=request_id, exc_info=error)
    return Problem("The error is in the log under this request id.")


def _of_framework(error: HTTPException) -> Problem:
    known = {404: NotFound, 405: MethodNotAllowed, 413: ContentTooLarge}.get(error.status_code, Problem)
    problem = known()
    problem.headers = dict(error.headers or {})
    return problem


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return bytes(value).decode("ascii")
    return random_id().hex


def _count(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "none")
    answers, latency = _meters(route, scope["method"] if route != "none" else "any", status)
    answers.inc()
    latency.observe(seconds)


# The library looks a child up under a lock each time; what is bounded here is the number of routes.
@lru_cache(maxsize=1_024)
def _meters(route: str, method: str, status: int) -> tuple[Counter, Histogram]:
    return ANSWERS.labels(route, method, status), SECONDS.labels(route, method)
