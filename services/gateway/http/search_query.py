"""What an operator looks for among transfers, read from the address."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request

from services.gateway.domain import parsing, views
from services.gateway.domain.parsing import Invalid
from services.gateway.errors import FieldError, ValidationFailed
from services.gateway.http import paging
from services.gateway.http.openapi import DATES, PAGING, Query
from services.gateway.reads.transfer_search import Search
from shared.money import EXPONENTS

STATUSES = (views.PENDING, views.COMPLETED, views.FAILED, views.BLOCKED)
CURRENCIES = sorted(EXPONENTS)

_AMOUNT = {"type": "string", "pattern": r"^[0-9]{1,40}(\.[0-9]{1,40})?$", "examples": ["12.34"]}
SEARCHED: Query = {
    "id": {"type": "string", "format": "uuid"},
    "idempotency_key": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    "account_id": {"type": "string", "format": "uuid", "description": "From it or to it."},
    "user_id": {"type": "string", "format": "uuid", "description": "Whose it is, or whose account it goes from or to."},
    "status": {"type": "string", "enum": list(STATUSES)},
    "currency": {"type": "string", "enum": CURRENCIES},
    "min_amount": {**_AMOUNT, "description": "In major units of `currency`, which it needs; inclusive."},
    "max_amount": {**_AMOUNT, "description": "In major units of `currency`, which it needs; inclusive."},
    "include_deleted": {"type": "boolean", "default": False},
    **DATES,
    **PAGING,
}


def search(request: Request) -> Search:
    """Which transfers.

    Raises:
        ValidationFailed: a value that no transfer can have.
    """
    start, end = paging.time_range(request)
    currency = currency_filter(request)
    return Search(
        id=paging.uuid_filter(request, "id"),
        idempotency_key=paging.key_filter(request),
        account_id=paging.uuid_filter(request, "account_id"),
        user_id=paging.uuid_filter(request, "user_id"),
        status=paging.choice_filter(request, "status", STATUSES),
        start=start,
        end=end,
        currency=currency,
        min_minor=_amount(request, "min_amount", currency),
        max_minor=_amount(request, "max_amount", currency),
        include_deleted=paging.flag(request, "include_deleted"),
    )


def currency_filter(request: Request) -> str | None:
    """A currency to filter by.

    Raises:
        ValidationFailed: there is none such.
    """
    given = request.query_params.get("currency")
    try:
        return None if given is None else parsing.currency(given)
    except Invalid as invalid:
        raise ValidationFailed([invalid.error]) from None


def told(chosen: Search) -> dict[str, Any]:
    """A search as the audit log tells of it: only what was given."""
    return {name: value for name, value in msgspec.structs.asdict(chosen).items() if value not in {None, False}}


def _amount(request: Request, name: str, currency: str | None) -> int | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    if currency is None:
        raise ValidationFailed([FieldError(field=name, message="needs `currency`: amounts of several are no order")])
    try:
        return parsing.amount(msgspec.Raw(f'"{given}"'.encode()), currency, name)
    except Invalid as invalid:
        raise ValidationFailed([invalid.error]) from None
