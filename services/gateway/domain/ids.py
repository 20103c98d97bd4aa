"""The ids and fingerprints of requests: the same call has the same ids for ever, whatever Redis remembers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from shared.contracts.gateway import Kind
from shared.ids import derive, digest

# The scope of a key, beside the caller. Stable for ever: a renamed operation would let every old key pay again.
TRANSFERS = "transfers"
TRANSFERS_BATCH = "transfers.batch"
DEPOSITS = "deposits"
WITHDRAWALS = "withdrawals"
ADMIN_TRANSFERS_BATCH = "admin.transfers.batch"
ADMIN_ACCOUNTS_BATCH = "admin.accounts.batch"
ACCOUNTS = "accounts"

_VERSION = "v1"


class Payload(Protocol):
    """What a client asked for, as far as a repetition must ask for the same."""

    @property
    def kind(self) -> Kind: ...
    @property
    def from_account_id(self) -> UUID: ...
    @property
    def to_account_id(self) -> UUID: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def description(self) -> str | None: ...
    @property
    def metadata(self) -> bytes | None: ...


def transfer_id(caller_id: UUID, operation: str, key: str, index: int | None = None) -> UUID:
    """The transfer of a key; in a batch call that one key covers, of its item `index`."""
    if index is None:
        return derive("transfer", caller_id, operation, key)
    return derive("transfer", caller_id, operation, key, index)


def batch_id(caller_id: UUID, operation: str, key: str) -> UUID:
    """The batch call of a key."""
    return derive("batch", caller_id, operation, key)


def account_id(caller_id: UUID, operation: str, key: str, index: int | None = None) -> UUID:
    """The account that a key opens; also the id of the command that opens it."""
    if index is None:
        return derive("account", caller_id, operation, key)
    return derive("account", caller_id, operation, key, index)


def owner_id(reference: str) -> UUID:
    """The user behind an operator's reference."""
    return derive("owner", reference)


def fingerprint(payload: Payload) -> str:
    """What the payload says, whatever its spelling: `12.5` and `"12.50"` are the same."""
    parts = (
        payload.kind.encode(),
        payload.from_account_id.bytes,
        payload.to_account_id.bytes,
        b"%d" % payload.amount_minor,
        payload.currency.encode(),
        _optional(None if payload.description is None else payload.description.encode()),
        _optional(payload.metadata),
    )
    return f"{_VERSION}:{digest(parts)}"


def fingerprint_of(*parts: str | Sequence[str]) -> str:
    """The fingerprint of other things: a command's fields, a batch's items."""
    flat = [part if isinstance(part, str) else digest(p.encode() for p in part) for part in parts]
    return f"{_VERSION}:{digest(part.encode() for part in flat)}"


def differing_fields(one: Payload, other: Payload) -> tuple[str, ...]:
    """The names, as clients know them, of what two payloads under one key say differently."""
    pairs = (
        ("kind", one.kind, other.kind),
        ("from_account_id", one.from_account_id, other.from_account_id),
        ("to_account_id", one.to_account_id, other.to_account_id),
        ("amount", one.amount_minor, other.amount_minor),
        ("currency", one.currency, other.currency),
        ("description", one.description, other.description),
        ("metadata", one.metadata, other.metadata),
    )
    return tuple(name for name, left, right in pairs if left != right)


def _optional(value: bytes | None) -> bytes:
    # Absent and empty must differ.
    return b"" if value is None else b"=" + value
