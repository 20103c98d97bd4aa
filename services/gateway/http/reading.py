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

# In characters.
KEY_MAX = 255

WAIT_DEFAULT_S = 5.0
WAIT_MAX_S = 30.0

Body = TypeVar("Body")

# What a field of any JSON is where it is not given.
_ABSENT = msgspec.Raw()

_PLACE = re.compile(r"^(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?$", re.DOTALL)
_ITEM = re.compile(r"^\w+\[(\d+)\]")
_KEY = re.compile(rf"[\x20-\x7e]{{1,{KEY_MAX}}}")
# A String of RFC 9651: printable ASCII in quotes; a backslash stands only before a quote or another one.
_QUOTED_KEY = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPED = re.compile(r'\\(["\\])')
# The elements of a list (RFC 9110, 5.6.1), commas in quotes left alone; and one preference (RFC 7240, 2), its value.
_ELEMENT = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
_PREFERENCE = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*(?:"([^"\\]*)"|([^\s";=]*))\s*)?(?:;.*)?""")
_WHOLE_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class Reader:
    """Decodes bodies; one decoder a type, made once."""

    def __init__(self) -> None:
        self._decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}

    async def body(self, request: Request, body_type: type[Body], *, bytes_max: int = BODY_BYTES_MAX) -> Body:
        """The body as its type.

        Raises:
            Problem: not JSON (400), too large (413), another media type (415), or it does not validate (422).
        """
        _check_media_type(request)
        raw = await _bounded(request, bytes_max)
        decoder = self._decoders.get(body_type)
        if decoder is None:
            decoder = self._decoders[body_type] = msgspec.json.Decoder(body_type)
        try:
            body: Body = decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise _invalid(raw, str(error)) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _unreadable(raw) from None
        # Each member has a colon. Where there are no more of them than fields with a value, no name stands twice.
        if raw.count(b":") != _members(body):
            _check_names(raw)
        return body


def _check_media_type(request: Request) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if media_type.strip() != "application/json":
        raise UnsupportedMediaType
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaType("JSON is UTF-8 (RFC 8259).")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise UnsupportedMediaType("The body must not be compressed.")


def _members(body: Any) -> int:
    """How many members the objects of a body have at least: one for each field that has a value."""
    return sum(map(_of_one, msgspec.structs.astuple(body)))


def _of_one(value: Any) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_members, value))
    return int(value is not None and value is not msgspec.UNSET and value != _ABSENT)


def _check_names(raw: bytes) -> None:
    # What stands twice is read differently by different readers: whoever checked the first reading must not be paid
    # for the second. RFC 7493 (I-JSON) forbids it.
    try:
        json.loads(raw.decode(), object_pairs_hook=_once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        raise MalformedJson("A name stands twice in one object, or values are nested too deep.") from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError


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
        json.loads(raw.decode(), parse_constant=refuse)
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
    key = given[0].strip(" \t")
    if key.startswith('"'):
        quoted = _QUOTED_KEY.fullmatch(key)
        key = _ESCAPED.sub(r"\1", quoted[1]) if quoted else ""
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
    found = uuid_of(request.path_params[name])
    if found is None:
        raise missing
    return found


def uuid_of(given: str) -> UUID | None:
    """The id that is written so, in the one form that ids have here; None if it is none."""
    return UUID(given) if _UUID.fullmatch(given) else None


def wait_s(request: Request) -> float:
    """How long the client wants to wait for the outcome, in seconds (RFC 7240).

    A preference that is not understood counts as not given; of one given twice the first counts.
    """
    wanted = _preferences(",".join(request.headers.getlist("prefer")))
    if wanted.get("respond-async") == "":
        return 0.0
    seconds = wanted.get("wait", "")
    return min(float(seconds), WAIT_MAX_S) if _WHOLE_SECONDS.fullmatch(seconds) else WAIT_DEFAULT_S


def command_wait_s(request: Request) -> float:
    """The same for a command, which has no "pending" to be answered with: the wait may be longer, not shorter."""
    return max(wait_s(request), WAIT_DEFAULT_S)


def _preferences(header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in filter(None, map(_PREFERENCE.fullmatch, _ELEMENT.findall(header))):
        found.setdefault(match[1].lower(), match[2] or match[3] or "")
    return found
