"""The audit log as operators read it: rows as JSON, as CSV, as NDJSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from services.gateway.domain.bodies import Moment, Object, encode

# What a spreadsheet takes for a formula, or leads up to one (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class AuditRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the log. `hash` is SHA-256 in hex; `details` are JSON as they were recorded."""

    seq: int
    recorded_at: Moment
    occurred_at: Moment
    event_id: UUID
    user_id: UUID | None
    action: str
    resource_type: str
    resource_id: str | None
    status: str
    ip_address: str | None
    user_agent: str | None
    request_id: str
    error_message: str | None
    details: Object
    hash: str


COLUMNS = AuditRow.__struct_fields__


class AuditLogPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page, newest first. `total` is exact up to a bound; beyond it `total_capped` is true.

    `pages` are those that can be asked for.
    """

    items: Sequence[AuditRow]
    page: int
    page_size: int
    total: int
    pages: int
    total_capped: bool


def ndjson(rows: Sequence[AuditRow]) -> bytes:
    """One JSON document a line."""
    return b"".join(b"%b\n" % encode(row) for row in rows)


def csv_header() -> bytes:
    """The names of the columns."""
    return _written([COLUMNS])


def csv_lines(rows: Sequence[AuditRow]) -> bytes:
    """RFC 4180, with every cell that a spreadsheet would run made text."""
    return _written([[cell(getattr(row, name)) for name in COLUMNS] for row in rows])


def cell(value: object) -> str:
    """A value as a cell: nothing is empty, and what begins a formula is preceded by an apostrophe."""
    if value is None:
        return ""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _written(lines: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue().encode()
