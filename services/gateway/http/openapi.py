"""The table of calls, and the OpenAPI document made from it. Bodies are msgspec types, so are their schemas."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.gateway.domain.bodies import ProblemBody

Endpoint = Callable[[Request], Awaitable[Response]]

_PATH_PARAMETER = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{name}"

Query = dict[str, dict[str, Any]]

PAGING: Query = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {"type": "string", "description": "The `next_cursor` of the page before."},
}
DATES: Query = {
    "start_date": {"type": "string", "description": "RFC 3339 or YYYY-MM-DD (UTC); inclusive."},
    "end_date": {"type": "string", "description": "A time is exclusive; a bare date includes its day."},
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API: its address, what serves it, and what the document says of it."""

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    body: type[Any] | None = None
    answers: type[Any] | None = None
    listed: type[Any] | None = None
    status: int = 200
    also: Sequence[int] = ()
    key: str = ""
    waits: bool = False
    query: Query = field(default_factory=dict)
    is_open: bool = False


class PlainRoute(APIRoute):
    """Hands the request to its endpoint as it is: bodies are read by this service's own reader, errors are the frame's.

    The framework's wrapping for dependencies and validation, which nothing here uses, would cost more than the call.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.app = self._serve

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await self.endpoint(Request(scope, receive, send))
        await response(scope, receive, send)


def add_calls(app: FastAPI, calls: Sequence[Call]) -> None:
    """Puts the calls into the application and its document."""
    app.router.route_class = PlainRoute
    for call in calls:
        app.add_api_route(
            call.path,
            call.endpoint,
            methods=[call.method],
            summary=call.summary,
            tags=[call.tag],
            status_code=call.status,
            response_model=None,
            operation_id=f"{call.method.lower()}{call.path.replace('/api/v1', '')}".replace("{", "").replace("}", ""),
            openapi_extra=_operation(call),
        )
    types = [*_types(calls), ProblemBody]

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = made.setdefault("components", {})
            components["schemas"] = msgspec.json.schema_components(types, ref_template=_REF)[1]
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _types(calls: Iterable[Call]) -> list[type[Any]]:
    named = (t for call in calls for t in (call.body, call.answers, call.listed) if t is not None)
    return list(dict.fromkeys(named))


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {"parameters": _parameters(call), "responses": _responses(call)}
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema(call.body)}}}
    if not call.is_open:
        operation["security"] = [{"bearer": []}]
    return operation


def _parameters(call: Call) -> list[dict[str, Any]]:
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
        for name in _PATH_PARAMETER.findall(call.path)
    ]
    found += [{"name": name, "in": "query", "required": False, "schema": schema} for name, schema in call.query.items()]
    if call.key:
        key = {"type": "string", "minLength": 1, "maxLength": 255}
        found.append({"name": "Idempotency-Key", "in": "header", "required": call.key == "required", "schema": key})
    if call.waits:
        schema = {"type": "string", "examples": ["wait=5", "respond-async"]}
        found.append({"name": "Prefer", "in": "header", "required": False, "schema": schema})
    return found


def _responses(call: Call) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status in (call.status, *(s for s in call.also if s < 400)):
        responses[str(status)] = {"description": HTTPStatus(status).phrase}
        schema = _answer_schema(call)
        if schema is not None and status != 204:
            responses[str(status)]["content"] = {"application/json": {"schema": schema}}
    problem = {"application/problem+json": {"schema": _schema(ProblemBody)}}
    refusals = {*(s for s in call.also if s >= 400), 500, 503}
    refusals |= set() if call.is_open else {401}
    refusals |= {400, 413, 415, 422} if call.body is not None else set()
    refusals |= {400, 422} if call.query else set()
    for status in sorted(refusals):
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return responses


def _answer_schema(call: Call) -> dict[str, Any] | None:
    if call.listed is not None:
        items = {"type": "array", "items": _schema(call.listed)}
        cursor = {"type": ["string", "null"]}
        return {"type": "object", "properties": {"items": items, "next_cursor": cursor}, "required": ["items"]}
    return None if call.answers is None else _schema(call.answers)


def _schema(body_type: type[Any]) -> dict[str, Any]:
    return {"$ref": _REF.format(name=body_type.__name__)}
