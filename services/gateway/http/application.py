"""The ASGI application: FastAPI's routing and documents, this service's own frame around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp

from services.gateway.errors import MethodNotAllowed, Problem
from services.gateway.http.frame import Frame, problem_of, request_id_of
from services.gateway.http.openapi import Call, add_calls
from services.gateway.http.responses import problem_response
from shared.observability.health import Check, health_routes

VERSION = "1"
_DESCRIPTION = (
    "Moves money between accounts. Amounts are decimal strings; errors are problem+json; "
    "whatever creates a transfer takes an Idempotency-Key and never pays twice."
)


def application(calls: Sequence[Call], checks: Mapping[str, Check]) -> ASGIApp:
    """The application that serves `calls`, health and documents."""
    app = FastAPI(
        title="Remit",
        version=VERSION,
        description=_DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Frame)],
        exception_handlers={Problem: _refused, HTTPException: _refused},
    )
    add_calls(app, calls)
    app.router.routes.extend(health_routes(checks))
    return app


async def _refused(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request.scope)
    problem = problem_of(error, request_id)
    if isinstance(problem, MethodNotAllowed):
        problem.headers = {"Allow": ", ".join(_methods_at(request))}
    return problem_response(problem, request_id)


def _methods_at(request: Request) -> list[str]:
    """All methods of this address: its calls are routes of their own, and the framework names but the first one's."""
    app: FastAPI = request.app
    found = (
        route.methods or set()
        for route in app.router.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    )
    return sorted(set().union(*found))
