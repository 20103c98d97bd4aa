"""What an operator asks of the audit log, read from the address."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from services.gateway.errors import FieldError, ValidationFailed
from services.gateway.http import paging
from services.gateway.http.openapi import DATES, Query
from services.gateway.reads.audit_log import COUNTED_MAX, AuditFilter
from shared.contracts.audit import Action, ResourceType, Result

PAGE_SIZE_DEFAULT = 50
PAGE_SIZE_MAX = 200
RESOURCE_ID_MAX = 255
FORMATS = ("csv", "ndjson")

FILTERS: Query = {
    "user_id": {"type": "string", "format": "uuid"},
    "action": {"type": "string", "enum": [action.value for action in Action]},
    "resource_type": {"type": "string", "enum": [kind.value for kind in ResourceType]},
    "resource_id": {"type": "string", "minLength": 1, "maxLength": RESOURCE_ID_MAX, "pattern": "^[^\\x00]+$"},
    "status": {"type": "string", "enum": [result.value for result in Result]},
    **DATES,
}
PAGES: Query = {
    "page": {
        "type": "integer",
        "minimum": 1,
        "maximum": COUNTED_MAX,
        "default": 1,
        "description": f"From 1; page times page_size at most {COUNTED_MAX}: beyond it, use the export.",
    },
    "page_size": {"type": "integer", "minimum": 1, "maximum": PAGE_SIZE_MAX, "default": PAGE_SIZE_DEFAULT},
}
FORMAT: Query = {"format": {"type": "string", "enum": list(FORMATS), "default": FORMATS[0]}}


def audit_filter(request: Request) -> AuditFilter:
    """Which rows.

    Raises:
        ValidationFailed: a value that no row can have.
    """
    start, end = paging.time_range(request)
    return AuditFilter(
        user_id=paging.uuid_filter(request, "user_id"),
        action=paging.choice_filter(request, "action", tuple(Action)),
        resource_type=paging.choice_filter(request, "resource_type", tuple(ResourceType)),
        resource_id=paging.text_filter(request, "resource_id", chars_max=RESOURCE_ID_MAX),
        status=paging.choice_filter(request, "status", tuple(Result)),
        start=start,
        end=end,
    )


def told(chosen: AuditFilter) -> dict[str, Any]:
    """A filter as the audit log tells of it: only what was given."""
    return {name: value for name, value in msgspec.structs.asdict(chosen).items() if value is not None}


def numbered_page(request: Request) -> tuple[int, int]:
    """The page's number and size.

    Raises:
        ValidationFailed: out of bounds, alone or together.
    """
    page = _number(request, "page", default=1, most=COUNTED_MAX)
    size = _number(request, "page_size", default=PAGE_SIZE_DEFAULT, most=PAGE_SIZE_MAX)
    if page * size > COUNTED_MAX:
        message = f"times page_size may be at most {COUNTED_MAX}; the export goes further"
        raise ValidationFailed([FieldError(field="page", message=message)])
    return page, size


def export_format(request: Request) -> str:
    """The form of an export.

    Raises:
        ValidationFailed: another one.
    """
    return paging.choice_filter(request, "format", FORMATS) or FORMATS[0]


def _number(request: Request, name: str, *, default: int, most: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return default
    if not (given.isascii() and given.isdigit() and len(given) < 9 and 1 <= int(given) <= most):
        raise ValidationFailed([FieldError(field=name, message=f"must be a number from 1 to {most}")])
    return int(given)
