"""Routes made from the table of calls, and the pages that explain it without any other host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Receive, Scope, Send

from services.gateway.errors import MethodNotAllowed
from services.gateway.http.document import document_of
from services.gateway.http.frame import Frame
from services.gateway.http.openapi import Call, Endpoint
from services.gateway.http.responses import answer

_DOCUMENT = "/openapi.json"
_STATIC = "/docs/static"


class _Headers(Headers):
    """A request's headers, found by name: each call asks for half a dozen of a list that its client may make long."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(raw=scope["headers"])
        self._found: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._found.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))

    def __getitem__(self, key: str) -> str:
        return self._found[key.lower()][0]

    def get(self, key: str, default: Any = None) -> Any:
        """The first value under a name."""
        found = self._found.get(key.lower())
        return default if found is None else found[0]

    def getlist(self, key: str) -> list[str]:
        """All values under a name, in order."""
        return list(self._found.get(key.lower(), ()))


class _Asked(Request):
    """A request as endpoints get it."""

    @property
    def headers(self) -> Headers:
        """The headers."""
        found: Headers | None = getattr(self, "_headers", None)
        if found is None:
            found = self._headers = _Headers(self.scope)
        return found


async def serve(endpoint: Endpoint, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers one request."""
    response = await endpoint(_Asked(scope, receive, send))
    await response(scope, receive, send)


class Direct:
    """Takes calls that move money past the framework to their endpoints; none has a parameter in its address.

    The way through routers and middleware costs half as much as the call itself. All other calls go that way. What is
    answered is the same: the frame around both is, and nothing in between does anything for these calls.
    """

    def __init__(self, otherwise: ASGIApp, calls: Sequence[Call]) -> None:
        self._otherwise = otherwise
        self._calls = {(call.method, call.path): call for call in calls if call.makes_transfers}
        self._framed = Frame(self._serve)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_direct = (scope.get("method", ""), scope.get("path", "")) in self._calls
        await (self._framed if is_direct else self._otherwise)(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = self._calls[scope["method"], scope["path"]]
        # By its path the answer is counted.
        scope["route"] = call
        await serve(call.endpoint, scope, receive, send)


class PlainRoute(APIRoute):
    """Hands the request to its endpoint as it is: bodies are read by this service's own reader, errors are the frame's.

    The framework's wrapping for dependencies and validation, which nothing here uses, would cost more than the call.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.methods == {"GET"}:
            # RFC 9110, 9.1: whoever answers GET answers HEAD; the server leaves the body out.
            self.methods = {"GET", "HEAD"}
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await serve(self.endpoint, scope, receive, send)


def add_calls(app: FastAPI, calls: Sequence[Call]) -> None:
    """Puts the calls into the application."""
    app.router.route_class = PlainRoute
    # Literal addresses first: none of them is what another address takes for a parameter, in any method.
    for path in dict.fromkeys(call.path for call in calls if "{" not in call.path):
        _add(app, [call for call in calls if call.path == path])
        app.router.routes.append(_Refusing(path, _refuse))
    _add(app, [call for call in calls if "{" in call.path])


class _Refusing(Route):
    """Takes every method of its address, after the calls that are there."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.methods = None


async def _refuse(_: Request) -> Response:
    raise MethodNotAllowed


def _add(app: FastAPI, calls: Sequence[Call]) -> None:
    for call in calls:
        app.add_api_route(call.path, call.endpoint, methods=[call.method], status_code=call.status, response_model=None)


def add_documents(app: FastAPI, calls: Sequence[Call]) -> None:
    """Puts `/openapi.json` and `/docs` into the application. What the page needs is served from here, not by a CDN."""
    document = document_of(calls, title=app.title, version=app.version, description=app.description)
    app.openapi = lambda: document  # type: ignore[method-assign]
    page = get_swagger_ui_html(
        openapi_url=_DOCUMENT,
        title=app.title,
        swagger_js_url=f"{_STATIC}/swagger-ui-bundle.js",
        swagger_css_url=f"{_STATIC}/swagger-ui.css",
        swagger_favicon_url=f"{_STATIC}/favicon.png",
    )

    async def openapi(_: Request) -> Response:
        return answer(document)

    async def docs(_: Request) -> Response:
        return page

    files = StaticFiles(directory=Path(fastapi_offline.__file__).with_name("static"))
    app.router.routes.extend([Route(_DOCUMENT, openapi), Route("/docs", docs), Mount(_STATIC, files)])
