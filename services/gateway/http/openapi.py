"""The table of calls: what each address takes and answers. Routes and the OpenAPI document are made from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

# The schema of each parameter of a query, by its name.
Query = dict[str, dict[str, Any]]

PAGING: Query = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_-]+$",
        "description": "The `next_cursor` of the page before; opaque.",
    },
}
_MOMENT: dict[str, Any] = {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "string", "format": "date"}]}
DATES: Query = {
    "start_date": {
        **_MOMENT,
        "description": "RFC 3339 or YYYY-MM-DD (UTC); inclusive.",
        "examples": ["2026-01-31", "2026-01-31T12:00:00Z"],
    },
    "end_date": {
        **_MOMENT,
        "description": "RFC 3339 (exclusive) or YYYY-MM-DD (UTC; includes that day, and 9999-12-31 all that comes); "
        "not before the start.",
        "examples": ["2026-12-31", "2026-12-31T12:00:00Z"],
    },
}


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of the API: its address, what serves it, and what the document says of it.

    `answers` is the type of the body, `listed` that of the items of a page, `produces` the media types of a stream.
    `also` holds the statuses that do not follow from the rest; `key` is "required" or "optional" where the call takes
    an idempotency key; `waits` tells that it heeds `Prefer`; `is_open` that it needs no token,
    `is_of_session` that it takes the session of the console and nothing else.
    """

    method: str
    path: str
    endpoint: Endpoint
    summary: str
    tag: str
    body: type[Any] | None = None
    answers: type[Any] | None = None
    listed: type[Any] | None = None
    produces: Sequence[str] = ()
    status: int = 200
    also: Sequence[int] = ()
    key: str = ""
    waits: bool = False
    query: Query = field(default_factory=dict)
    is_open: bool = False
    is_of_session: bool = False

    @property
    def is_for_operators(self) -> bool:
        return self.path.startswith("/api/v1/admin/")

    @property
    def makes_transfers(self) -> bool:
        """Whether it waits for a transfer, or for many."""
        return self.waits and self.key == "required"

    @property
    def makes_one_transfer(self) -> bool:
        """Whether its answer is a transfer's outcome, which may be a refusal that a worker decided."""
        return self.key == "required" and 202 in self.also
