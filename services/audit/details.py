"""What enters the column `details`: our own values as they are, those that others made cleaned and bounded."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shared.audit_chain.canonical import decode, encode

DETAILS_BYTES_MAX = 16_384
_DETAIL_CHARACTERS_MAX = 1_000
_DEPTH_MAX = 16
_WHOLE_MAX = 2**63 - 1
# Stands for what was too deep, too large or not readable.
_LEFT_OUT = "[left out]"


def clean(text: str, characters_max: int) -> str:
    """`text` as PostgreSQL can store it: no NUL, at most `characters_max` characters, cut visibly."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"


def utc(at: datetime) -> datetime:
    """The same instant in UTC; a time without an offset is taken for UTC."""
    if at.tzinfo is UTC:
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def details_of(values: Mapping[str, Any]) -> msgspec.Raw:
    """Our own values, which need no cleaning: identifiers, codes, decimal strings, whole numbers."""
    return msgspec.Raw(encode(values))


def foreign_details_of(values: Mapping[str, msgspec.Raw] | None) -> msgspec.Raw:
    """Values that others made, cleaned; beyond `DETAILS_BYTES_MAX` only their size is told."""
    if not values:
        return msgspec.Raw(b"{}")
    cleaned = encode({clean(name, _DETAIL_CHARACTERS_MAX): _plain(_read(raw), 1) for name, raw in values.items()})
    if len(cleaned) > DETAILS_BYTES_MAX:
        return details_of({"left_out_bytes": len(cleaned)})
    return msgspec.Raw(cleaned)


def _read(raw: msgspec.Raw) -> Any:
    try:
        return decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return _LEFT_OUT


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return clean(value, _DETAIL_CHARACTERS_MAX)
    if isinstance(value, int) and abs(value) > _WHOLE_MAX:
        return _LEFT_OUT
    if isinstance(value, list | dict) and depth >= _DEPTH_MAX:
        return _LEFT_OUT
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean(name, _DETAIL_CHARACTERS_MAX): _plain(item, depth + 1) for name, item in value.items()}
    return value
