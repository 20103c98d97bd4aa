"""Reading requests: bodies of a bounded size into their types, headers and ids into values."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from starlette.requests import ClientDisconnect, Request

from services.gateway.errors import (
    ContentTooLarge,
    FieldError,
    KeyInvalid,
    KeyMissing,
    MalformedJson,
    Problem,
    UnsupportedMediaType,
    ValidationFailed,
)

BODY_BYTES_MAX = 1024 * 1024
BATCH_BYTES_MAX = 8 * 1024 * 1024

WAIT_DEFAULT_S = 5.0
WAIT_MAX_S = 30.0

Body = TypeVar("Body")

_PLACE = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_ITEM = re.compile(r"^\w+\[(\d+)\]")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,9})\"?")


class Reader:
    """Decodes bodies; one decoder a type, made once."""

    def __init__(self) -> None:
        self._decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}

    async def body(self, request: Request, body_type: type[Body], *, bytes_max: int = BODY_BYTES_MAX) -> Body:
        """The body as its type.

        Raises:
            Problem: not JSON (400), too large (413), another media type (415), or it does not validate (422).
        """
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise UnsupportedMediaType
        raw = await _bounded(request, bytes_max)
        decoder = self._decoders.get(body_type)
        if decoder is None:
            decoder = self._decoders[body_type] = msgspec.json.Decoder(body_type)
        try:
            return decoder.decode(raw)  # type: ignore[no-any-return]
        except msgspec.ValidationError as error:
            raise _invalid(raw, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable(raw) from None


async def _bounded(request: Request, bytes_max: int) -> bytes:
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > bytes_max:
        raise ContentTooLarge
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > bytes_max:
                raise ContentTooLarge
            chunks.append(chunk)
    except ClientDisconnect:
        raise MalformedJson("the body ended early") from None
    return b"".join(chunks)


def _invalid(raw: bytes, message: str) -> Problem:
    # The decoder stops at the first value of a wrong type; what follows may not even be JSON.
    try:
        msgspec.json.decode(raw)
    except (ValueError, RecursionError):
        return _unreadable(raw)
    return ValidationFailed([_located(message)])


def _unreadable(raw: bytes) -> Problem:
    # Half a surrogate pair is well-formed JSON (RFC 8259, 8.2) that no database can store: the client's text is at
    # fault, not its syntax. The decoder does not tell the two apart; this slow path does.
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        json.loads(raw, parse_constant=refuse)
    except (ValueError, RecursionError):
        return MalformedJson()
    return ValidationFailed([FieldError(field="", message="holds half a surrogate pair, which cannot be stored")])


def _located(message: str) -> FieldError:
    match = _PLACE.match(message)
    path = (match and match["path"]) or ""
    item = _ITEM.match(path)
    said = match["message"] if match else message
    return FieldError(field=path, message=said, index=int(item[1]) if item else None)


def idempotency_key(request: Request) -> str | None:
    """The key of this call, without the quotes it may come in.

    Raises:
        KeyInvalid: empty, too long, not printable ASCII, or given twice.
    """
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(given) > 1 or not _KEY.fullmatch(key):
        raise KeyInvalid
    return key


def required_key(request: Request) -> str:
    """The key of a call that must have one.

    Raises:
        KeyMissing: it has none.
    """
    key = idempotency_key(request)
    if key is None:
        raise KeyMissing
    return key


def path_id(request: Request, name: str, missing: type[Problem]) -> UUID:
    """An id from the address; what is no id names nothing that exists."""
    try:
        return UUID(request.path_params[name])
    except ValueError:
        raise missing from None


def wait_s(request: Request) -> float:
    """How long the client wants to wait for the outcome, in seconds (RFC 7240)."""
    preferences = ",".join(request.headers.getlist("prefer")).lower()
    if not preferences:
        return WAIT_DEFAULT_S
    if "respond-async" in preferences:
        return 0.0
    wanted = _WAIT.search(preferences)
    return min(float(wanted[1]), WAIT_MAX_S) if wanted else WAIT_DEFAULT_S
