"""Responses are bytes from one encoder; problems are RFC 9457."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from services.gateway.domain import bodies
from services.gateway.errors import Problem

JSON = "application/json"
PROBLEM_JSON = "application/problem+json"


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(bodies.encode(body), status, headers=headers, media_type=JSON)


def encoded(body: bytes, status: int, headers: Mapping[str, str]) -> Response:
    """An answer whose bytes stand already: success or problem by its status."""
    return Response(body, status, headers=headers, media_type=JSON if status < 400 else PROBLEM_JSON)


def nothing() -> Response:
    """204."""
    return Response(status_code=204)


def problem_response(error: Problem, request_id: str) -> Response:
    """The answer to a call that was refused."""
    body = bodies.encode(bodies.problem(error, request_id))
    return Response(body, error.status, headers=error.headers, media_type=PROBLEM_JSON)
