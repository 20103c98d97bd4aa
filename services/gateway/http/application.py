"""The ASGI application: FastAPI's routing, this service's own frame around it."""

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
from services.gateway.http.openapi import Call
from services.gateway.http.responses import problem_response
from services.gateway.http.routing import Direct, add_calls, add_documents
from shared.observability.health import Check, health_routes

VERSION = "1"
_DESCRIPTION = (
    "Moves money between accounts. Amounts are decimal strings; errors are problem+json (RFC 9457); whatever creates "
    "a transfer takes an Idempotency-Key and never pays twice. Every answer has an X-Request-ID; an address that does "
    "not exist is answered 404 `not_found`, a method that an address does not take 405 with `Allow`."
)


def application(calls: Sequence[Call], checks: Mapping[str, Check], pages: Sequence[Route] = ()) -> ASGIApp:
    """The application that serves `calls`, health, documents, and pages for people."""
    app = FastAPI(
        title="Remit",
        version=VERSION,
        description=_DESCRIPTION,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Frame)],
        exception_handlers={Problem: _refused, HTTPException: _refused},
    )
    add_calls(app, calls)
    app.router.routes.extend(health_routes(checks))
    app.router.routes.extend(pages)
    add_documents(app, calls)
    return Direct(app, calls)


async def _refused(request: Request, error: Exception) -> Response:
    request_id = request_id_of(request.scope)
    problem = problem_of(error, request.scope)
    if isinstance(problem, MethodNotAllowed):
        problem.headers = {"Allow": ", ".join(_methods_at(request))}
    return problem_response(problem, request_id)


def _methods_at(request: Request) -> list[str]:
    """All methods of this address: its calls are routes of their own, and the framework names but the first one's."""
    app: FastAPI = request.app
    routes = [
        route
        for route in app.router.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
    ]
    # Where a name of its own also looks like another address' parameter, it is not that.
    own = [route for route in routes if route.path == request.url.path]
    return sorted(set().union(*(route.methods or set() for route in own or routes))) or ["GET", "HEAD"]
