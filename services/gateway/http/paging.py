"""Lists: keyset cursors, limits, ranges of time."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from starlette.requests import Request

from services.gateway.errors import CursorInvalid, FieldError, ValidationFailed
from services.gateway.http.reading import KEY_MAX, uuid_of

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
# The standard library reads more, such as a week of the year: 2026-W01-1.
_BARE_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# A plus sign that was not escaped arrives as a space. Between date and time a space is one (RFC 3339, 5.6).
_PLUS_LOST = re.compile(r" (?=[0-9]{2}:[0-9]{2}\Z)")


class Place(msgspec.Struct, frozen=True, array_like=True):
    """The last item of a page of a list in order of (created_at, id), newest first."""

    created_at: datetime
    id: UUID


class Position(msgspec.Struct, frozen=True, array_like=True):
    """The last position of a page of a statement."""

    account_seq: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list."""

    items: Sequence[Any]
    next_cursor: str | None = None


def limit(request: Request) -> int:
    """How many items a page may have.

    Raises:
        ValidationFailed: not a number from 1 to 200.
    """
    given = request.query_params.get("limit")
    if given is None:
        return LIMIT_DEFAULT
    if not (given.isascii() and given.isdigit() and len(given) < 6 and 1 <= int(given) <= LIMIT_MAX):
        raise _invalid("limit", f"must be a number from 1 to {LIMIT_MAX}")
    return int(given)


def cursor_text(place: Place | Position) -> str:
    """A place as an opaque cursor."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def place(request: Request) -> Place | None:
    """The place after which this page begins.

    Raises:
        CursorInvalid: not a cursor of such a list.
    """
    found: Place | None = _cursor(request, Place)
    if found is None:
        return None
    if found.created_at.tzinfo is None:
        raise CursorInvalid
    try:
        return Place(found.created_at.astimezone(UTC), found.id)
    except OverflowError:
        # The first hours of the year 1, east of Greenwich.
        raise CursorInvalid from None


def position(request: Request) -> Position | None:
    """The position below which this page begins.

    Raises:
        CursorInvalid: not a cursor of such a list.
    """
    found: Position | None = _cursor(request, Position)
    if found is not None and not 0 < found.account_seq < 2**63:
        raise CursorInvalid
    return found


def _cursor(request: Request, cursor_type: Any) -> Any:
    given = request.query_params.get("cursor")
    if given is None:
        return None
    try:
        written = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        return msgspec.json.decode(written, type=cursor_type)
    except (ValueError, UnicodeError, RecursionError):
        raise CursorInvalid from None


def time_range(request: Request) -> tuple[datetime | None, datetime | None]:
    """`start_date` (inclusive) and `end_date` as an exclusive end: a bare end date includes its day.

    The last day that a date can name has no end: it is how clients write "for ever".

    Raises:
        ValidationFailed: neither RFC 3339 nor YYYY-MM-DD, or the start is after the end.
    """
    start = _moment(request, "start_date", days=0)
    end = _moment(request, "end_date", days=1)
    # A bare end date has become the day after it, which is outside; a time is outside by itself.
    whole_day = _BARE_DATE.fullmatch(request.query_params.get("end_date", "")) is not None
    if start is not None and end is not None and (start > end or (whole_day and start == end)):
        raise _invalid("start_date", "is after end_date")
    return start, end


def _moment(request: Request, name: str, *, days: int) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        if _BARE_DATE.fullmatch(given):
            day = date.fromisoformat(given)
            if days and day == date.max:
                return None
            return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=days)
        moment = msgspec.convert(_PLUS_LOST.sub("+", given), datetime)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, msgspec.ValidationError):
        pass
    raise _invalid(name, "must be RFC 3339 with an offset, or YYYY-MM-DD")


def uuid_filter(request: Request, name: str) -> UUID | None:
    """An id to filter by.

    Raises:
        ValidationFailed: not an id.
    """
    given = request.query_params.get(name)
    if given is None:
        return None
    found = uuid_of(given)
    if found is None:
        raise _invalid(name, "must be an id")
    return found


def choice_filter(request: Request, name: str, choices: Sequence[str]) -> str | None:
    """A value to filter by, one of `choices`.

    Raises:
        ValidationFailed: another value.
    """
    given = request.query_params.get(name)
    if given is not None and given not in choices:
        raise _invalid(name, f"must be one of {', '.join(choices)}")
    return given


def key_filter(request: Request) -> str | None:
    """An idempotency key to filter by: the very characters of the key, whose quotes are a header's alone.

    Raises:
        ValidationFailed: no key looks so.
    """
    given = request.query_params.get("idempotency_key")
    if given is not None and not (1 <= len(given) <= KEY_MAX and given.isascii() and given.isprintable()):
        raise _invalid("idempotency_key", f"must be 1 to {KEY_MAX} printable ASCII characters")
    return given


def text_filter(request: Request, name: str, *, chars_max: int) -> str | None:
    """A text to filter by.

    Raises:
        ValidationFailed: empty, too long, or none that can be stored.
    """
    given = request.query_params.get(name)
    if given is not None and ("\x00" in given or not 1 <= len(given) <= chars_max):
        raise _invalid(name, f"must have 1 to {chars_max} characters")
    return given


def flag(request: Request, name: str) -> bool:
    """A yes or no.

    Raises:
        ValidationFailed: neither true nor false.
    """
    return choice_filter(request, name, ("true", "false")) == "true"


def _invalid(field: str, message: str) -> ValidationFailed:
    return ValidationFailed([FieldError(field=field, message=message)])
