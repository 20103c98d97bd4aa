"""The envelope: one broker message, 1..N items of one type and version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any
from uuid import UUID

import msgspec

from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand, ActivityRecorded, DeadLetterCommand, TransferRequested
from shared.contracts.transfer import AccountChanged, TransferRefused, TransferSettled
from shared.errors import PoisonError
from shared.ids import random_id

MESSAGES: Mapping[str, type[Message]] = {
    message.TYPE: message
    for message in (
        TransferRequested,
        AccountCommand,
        ActivityRecorded,
        DeadLetterCommand,
        TransferScreened,
        TransferSettled,
        TransferRefused,
        AccountChanged,
    )
}


class Unreadable(PoisonError):
    """The message is not an envelope of a type and version that this release knows."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope whose items are not read yet. `envelope_id` is random and never deduplicated on."""

    envelope_id: UUID
    type: str
    version: int
    sent_at: datetime
    items: msgspec.Raw


# RecursionError: a body of nested brackets deeper than the decoder goes.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# Publishers put two thousand into an envelope at most. What holds more was made by none of them, and is parked whole:
# item by item it would keep a worker busy, and its table of dead letters full, for minutes.
ITEMS_MAX = 10_000
_bounded = msgspec.Meta(max_length=ITEMS_MAX)

_header = msgspec.json.Decoder(Header)
_raw_items = msgspec.json.Decoder(Annotated[list[msgspec.Raw], _bounded])
_encoder = msgspec.json.Encoder()


@cache
def _decoder(message_type: str) -> msgspec.json.Decoder[list[Message]]:
    item: Any = MESSAGES[message_type]
    return msgspec.json.Decoder(Annotated[list[item], _bounded])


@cache
def _item_decoder(message_type: str) -> msgspec.json.Decoder[Message]:
    return msgspec.json.Decoder(MESSAGES[message_type])


def seal(items: Sequence[Message]) -> bytes:
    """The body of one broker message that holds `items`, all of one type."""
    first = items[0]
    envelope: dict[str, Any] = {
        "envelope_id": random_id(),
        "type": first.TYPE,
        "version": first.VERSION,
        "sent_at": datetime.now(UTC),
        "items": items,
    }
    return _encoder.encode(envelope)


def open_header(body: bytes) -> Header:
    """The envelope around still unread items.

    Raises:
        Unreadable: not an envelope, or of a type or version that is unknown here.
    """
    try:
        header = _header.decode(body)
    except _UNREADABLE as error:
        raise Unreadable(f"not an envelope: {error}") from None
    known = MESSAGES.get(header.type)
    if known is None:
        raise Unreadable(f"unknown type {header.type!r}")
    if header.version != known.VERSION:
        raise Unreadable(f"unknown version {header.version} of {header.type}")
    return header


def read_items(header: Header) -> list[Message]:
    """All items of an envelope.

    Raises:
        Unreadable: at least one item does not fit its type; `read_each` tells which.
    """
    try:
        return _decoder(header.type).decode(header.items)
    except _UNREADABLE as error:
        raise Unreadable(str(error)) from None


def read_each(header: Header) -> Iterator[tuple[msgspec.Raw, Message | Unreadable]]:
    """Each item with its text, or with the reason why it cannot be read: one bad item spoils no other."""
    try:
        raws = _raw_items.decode(header.items)
    except _UNREADABLE as error:
        yield header.items, Unreadable(str(error))
        return
    for raw in raws:
        try:
            yield raw, _item_decoder(header.type).decode(raw)
        except _UNREADABLE as error:
            yield raw, Unreadable(str(error))


def encode_item(item: Message) -> bytes:
    """One item as JSON, as it stands inside an envelope."""
    return _encoder.encode(item)


def decode_item(message_type: str, raw: bytes | str) -> Message:
    """One item from its JSON.

    Raises:
        Unreadable: unknown type, or the text does not fit it.
    """
    if message_type not in MESSAGES:
        raise Unreadable(f"unknown type {message_type!r}")
    try:
        return _item_decoder(message_type).decode(raw)
    except _UNREADABLE as error:
        raise Unreadable(str(error)) from None
