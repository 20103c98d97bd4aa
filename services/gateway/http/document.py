"""The OpenAPI document: every call with its parameters, bodies, statuses, headers and examples, made from the table."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from services.gateway.domain.bodies import ProblemBody, SessionBody
from services.gateway.errors import Problem
from services.gateway.http.cookies import CONSOLE_HEADER, LOOPBACK_NAME, SECURE_NAME
from services.gateway.http.examples import example_of, problem_example, stream_example
from services.gateway.http.openapi import Call

Node = dict[str, Any]

_PATH_PARAMETER = re.compile(r"{(\w+)}")
_REF = "#/components/schemas/{name}"
_PROBLEM_SCHEMA: Node = {"$ref": _REF.format(name=ProblemBody.__name__)}
_PROBLEM = "application/problem+json"
_KEY: Node = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[ -~]+$",
    "examples": ["rent-2026-11"],
}

_TAGS = {
    "auth": "Who calls.",
    "accounts": "A customer's accounts and their statements.",
    "transfers": "A customer's transfers.",
    "operators": "Calls that need the role `admin`.",
    "health": "For whoever runs it.",
}
_HEADERS: Node = {
    "X-Request-ID": (True, "Names this request in logs and in the audit.", {"type": "string", "maxLength": 128}),
    "Location": (True, "Where what was made can be read.", {"type": "string", "format": "uri-reference"}),
    "Retry-After": (True, "Seconds after which asking again makes sense.", {"type": "integer", "minimum": 1}),
    "Idempotent-Replayed": (
        False,
        "Present where this key was answered before: the outcome is the first call's.",
        {"type": "string", "const": "true"},
    ),
    "RateLimit": (False, "What is left of the limit, and when there is room again.", {"type": "string"}),
    "RateLimit-Policy": (False, "The limit and its window in seconds.", {"type": "string"}),
    "WWW-Authenticate": (True, "How to authenticate.", {"type": "string", "examples": ["Bearer"]}),
    "Allow": (True, "The methods that this address takes.", {"type": "string", "examples": ["GET, HEAD"]}),
}
_SECURITY: Node = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": SECURE_NAME,
        "description": (
            "The console's. It counts in place of a bearer token for every call, but only from a page of this gateway: "
            f"with `{CONSOLE_HEADER}: 1`, `Sec-Fetch-Site: same-origin` and, where something is changed, `Origin`. "
            f"Over plain http on the gateway's own machine the cookie is called `{LOOPBACK_NAME}`."
        ),
    },
}
# Where a code can be met, for those that share a status with others.
_MET: dict[str, Callable[[Call], bool]] = {
    "malformed_json": lambda call: call.body is not None,
    "idempotency_key_missing": lambda call: call.key != "",
    "idempotency_key_invalid": lambda call: call.key != "",
    "invalid_cursor": lambda call: "cursor" in call.query,
    "forbidden": lambda call: call.is_for_operators or call.answers is SessionBody,
    "transfer_blocked": lambda call: call.makes_one_transfer,
    "malformed_request": lambda _: False,
    "not_found": lambda call: "{user_id}" in call.path or "{letter_id}" in call.path,
    "account_not_found": lambda call: "{account_id}" in call.path or call.makes_one_transfer,
    "transfer_not_found": lambda call: "{transfer_id}" in call.path,
    "request_in_progress": lambda call: call.key != "",
    "email_taken": lambda call: call.is_open,
    "account_not_empty": lambda call: call.method == "DELETE" and "{account_id}" in call.path,
    "idempotency_key_reused": lambda call: call.key != "",
}


class _Bodies:
    """The schemas of all bodies, and what refers to them."""

    def __init__(self, calls: Iterable[Call]) -> None:
        named = (t for call in calls for t in (call.body, call.answers, call.listed) if t is not None)
        types = list(dict.fromkeys([*named, ProblemBody]))
        refs, self.schemas = msgspec.json.schema_components(types, ref_template=_REF)
        # Two types of one name are told apart by their modules.
        self._refs = dict(zip(types, refs, strict=True))

    def content(self, body_type: type[Any]) -> Node:
        """One body."""
        content: Node = {"schema": self._refs[body_type]}
        example = example_of(body_type)
        return content if example is None else {**content, "examples": {"typical": {"value": example}}}

    def page(self, item_type: type[Any]) -> Node:
        """One page of a list."""
        items = {"type": "array", "items": self._refs[item_type]}
        cursor = {"type": ["string", "null"], "description": "Of the page after this one; null on the last."}
        properties = {"items": items, "next_cursor": cursor}
        schema = {"type": "object", "properties": properties, "required": ["items", "next_cursor"]}
        example = {"items": [example_of(item_type)], "next_cursor": None}
        return {"schema": schema, "examples": {"typical": {"value": example}}}


def document_of(calls: Sequence[Call], *, title: str, version: str, description: str) -> Node:
    """The whole document."""
    paths: Node = {}
    described = _Bodies(calls)
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, described)
    paths |= _health_paths()
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "tags": [{"name": name, "description": said} for name, said in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": described.schemas,
            "headers": {
                name: {"required": required, "description": said, "schema": schema}
                for name, (required, said, schema) in _HEADERS.items()
            },
            "securitySchemes": _SECURITY,
        },
    }


def _operation(call: Call, described: _Bodies) -> Node:
    operation: Node = {
        "operationId": re.sub(r"[{}]", "", f"{call.method.lower()}{call.path.removeprefix('/api/v1')}"),
        "summary": call.summary,
        "description": inspect.getdoc(call.endpoint) or call.summary,
        "tags": [call.tag],
        "parameters": list(_parameters(call)),
        "responses": _responses(call, described),
        "security": [] if call.is_open else [{"session" if call.is_of_session else "bearer": []}],
    }
    if call.body is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": described.content(call.body)}}
    return operation


def _parameters(call: Call) -> Iterator[Node]:
    for name in _PATH_PARAMETER.findall(call.path):
        yield _parameter(name, "path", {"type": "string", "format": "uuid"}, required=True)
    for name, schema in call.query.items():
        yield _parameter(name, "query", schema)
    if call.key:
        yield _parameter("Idempotency-Key", "header", _KEY, required=call.key == "required")
    if call.waits:
        yield _parameter("Prefer", "header", {"type": "string", "examples": ["wait=5", "respond-async"]})
    yield _parameter("X-Request-ID", "header", {"type": "string"})


def _parameter(name: str, place: str, schema: Node, *, required: bool = False) -> Node:
    said = {"description": schema["description"]} if "description" in schema else {}
    return {"name": name, "in": place, "required": required, "schema": schema, **said}


def _responses(call: Call, described: _Bodies) -> Node:
    succeeded = {status: _success(call, status, described) for status in (call.status, *call.also) if status < 400}
    refused = {status: _refusal(call, status) for status in _refused(call)}
    return {str(status): node for status, node in sorted({**succeeded, **refused}.items())}


def _refused(call: Call) -> set[int]:
    found = {405, 500, 503, *(status for status in call.also if status >= 400)}
    if not call.is_open:
        found.add(401)
    if call.is_for_operators:
        found.add(403)
    if "{" in call.path:
        found.add(404)
    if call.body is not None:
        found |= {400, 413, 415, 422}
    if call.key:
        found |= {400, 409, 422}
    if call.query:
        found |= {400, 422} if "cursor" in call.query else {422}
    return found


def _success(call: Call, status: int, described: _Bodies) -> Node:
    said: Node = {"description": HTTPStatus(status).phrase, "headers": _headers(_success_headers(call, status))}
    if call.produces:
        said["content"] = {
            media: {"schema": {"type": "string"}, "examples": {"typical": {"value": stream_example(call.path, media)}}}
            for media in call.produces
        }
    elif call.listed is not None:
        said["content"] = {"application/json": described.page(call.listed)}
    elif call.answers is not None and status != 204:
        said["content"] = {"application/json": described.content(call.answers)}
    return said


def _success_headers(call: Call, status: int) -> list[str]:
    names = ["Location"] if status == 202 or call.makes_one_transfer or (status == 201 and call.key) else []
    if status == 202:
        names.append("Retry-After")
    return [*names, "Idempotent-Replayed"] if call.key else names


def _refusal(call: Call, status: int) -> Node:
    names = {401: ["WWW-Authenticate"], 405: ["Allow"], 409: [], 429: ["Retry-After"], 503: ["Retry-After"]}.get(
        status, []
    )
    if status == 429:
        names = [*names, "RateLimit", "RateLimit-Policy"]
    headers = _headers(names)
    if call.makes_one_transfer and status in {403, 404, 422}:
        headers |= _headers(["Idempotent-Replayed"]) | {"Location": _optional("Location")}
    if status == 409 and call.key:
        headers["Retry-After"] = _optional("Retry-After")
    examples = {code: {"value": problem_example(status, code, said)} for code, said in _codes(call, status)}
    content: Node = {"schema": _PROBLEM_SCHEMA}
    if examples:
        content["examples"] = examples
    named = ", ".join(f"`{code}`" for code in examples)
    phrase = HTTPStatus(status).phrase
    return {
        "description": f"{phrase}: {named}" if named else phrase,
        "headers": headers,
        "content": {_PROBLEM: content},
    }


def _codes(call: Call, status: int) -> Iterator[tuple[str, str]]:
    for problem in _problems(Problem):
        if problem.status == status and (problem.code not in _MET or _MET[problem.code](call)):
            yield problem.code, inspect.getdoc(problem) or ""
    if status == 403 and call.makes_one_transfer:
        yield "transfer_blocked", "The transfer exceeds a limit."
    if status == 422 and call.makes_one_transfer:
        yield "insufficient_funds", "The source account cannot cover this transfer."


def _problems(base: type[Problem]) -> Iterator[type[Problem]]:
    if "code" in vars(base):
        yield base
    for inner in base.__subclasses__():
        yield from _problems(inner)


def _headers(names: Iterable[str]) -> Node:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-ID", *names)}


def _optional(name: str) -> Node:
    _, said, schema = _HEADERS[name]
    return {"required": False, "description": said, "schema": schema}


def _health_paths() -> Node:
    json: Node = {"application/json": {"schema": {"type": "object"}}}
    text: Node = {"text/plain": {"schema": {"type": "string"}}}
    stood = {"200": "It is.", "503": "Not now: the body names the checks that fail."}
    said = {
        "/healthz": ("Is the process alive?", json, {"200": "It is."}),
        "/readyz": ("Can it do its work now?", json, stood),
        "/metrics": ("Metrics for Prometheus", text, {"200": "All of them."}),
    }
    return {
        path: {
            "get": {
                "operationId": f"get{path}",
                "summary": summary,
                "tags": ["health"],
                "security": [],
                "responses": {
                    status: {
                        "description": text_,
                        "headers": _headers(("Retry-After",) if status == "503" else ()),
                        "content": content,
                    }
                    for status, text_ in answers.items()
                },
            }
        }
        for path, (summary, content, answers) in said.items()
    }
