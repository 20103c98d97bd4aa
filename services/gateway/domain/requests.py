"""The bodies that clients send. Unknown fields are refused; amounts stay text until their currency is known."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shared.money import EXPONENTS

ITEMS_MAX = 1_000

DESCRIPTION_MAX = 500

_WRITTEN = {"type": "string", "pattern": r"^[0-9]{1,40}(\.[0-9]{1,40})?$"}
_AMOUNT_SCHEMA = {
    "oneOf": [_WRITTEN, {"type": "number", "exclusiveMinimum": 0, "maximum": 10**18}],
    "examples": ["12.34"],
}
_OPENING_SCHEMA = {
    "oneOf": [_WRITTEN, {"type": "number", "minimum": 0, "maximum": 10**18}, {"type": "null"}],
    "examples": ["12.34"],
}
Amount = Annotated[
    msgspec.Raw,
    Meta(
        description="A decimal string in major units; a number is taken where it is exact.",
        extra_json_schema=_AMOUNT_SCHEMA,
    ),
]
OpeningBalance = Annotated[
    msgspec.Raw, Meta(description="Like an amount; zero or nothing opens it empty.", extra_json_schema=_OPENING_SCHEMA)
]
Metadata = Annotated[
    msgspec.Raw,
    Meta(
        description="Any JSON object of at most 4 KiB and five levels.", extra_json_schema={"type": ["object", "null"]}
    ),
]
Currency = Annotated[
    str,
    Meta(
        description="An active ISO 4217 code.",
        pattern=r"^[A-Z]{3}$",
        examples=["USD"],
        extra_json_schema={"enum": sorted(EXPONENTS)},
    ),
]
Description = Annotated[str, Meta(max_length=DESCRIPTION_MAX)]
Key = Annotated[str, Meta(description="The item's own idempotency key.", pattern=r"^[\x20-\x7e]{1,255}$")]
Name = Annotated[str, Meta(min_length=1, max_length=100)]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all bodies have in common."""


class Register(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new customer."""

    email: Annotated[str, Meta(min_length=3, max_length=254, extra_json_schema={"format": "email"})]
    password: Annotated[str, Meta(min_length=8, max_length=128)]
    full_name: Annotated[str, Meta(min_length=1, max_length=200)]


class Login(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who wants a token."""

    email: Annotated[str, Meta(max_length=254)]
    password: Annotated[str, Meta(max_length=128)]


class ChangeUser(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to change of a user; what is absent stays as it is."""

    role: Literal["customer", "admin"] | UnsetType = UNSET
    is_active: bool | UnsetType = UNSET


class OpenAccount(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new account of the caller, at zero."""

    name: Name
    currency: Currency


class RenameAccount(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The account's new name."""

    name: Name


class Transfer(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money from one account to another."""

    from_account_id: UUID
    to_account_id: UUID
    amount: Amount
    currency: Currency
    description: Description | None = None
    metadata: Metadata = msgspec.field(default_factory=msgspec.Raw)


class TransferBatch(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transfers that are applied in order, each on its own, under one idempotency key."""

    transfers: Annotated[list[Transfer], Meta(min_length=1, max_length=ITEMS_MAX)]


class OperatorTransfer(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Money into or out of the bank; the other side is the currency's settlement account."""

    account_id: UUID
    amount: Amount
    currency: Currency
    description: Description | None = None


class KeyedTransfer(Transfer, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transfer that an operator asks for on behalf of the source account's owner."""

    idempotency_key: Key | None = None


class KeyedTransferBatch(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Transfers on behalf of the source accounts' owners."""

    transfers: Annotated[list[KeyedTransfer], Meta(min_length=1, max_length=ITEMS_MAX)]


class KeyedAccount(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An account that an operator opens for an owner known by a reference, with what it holds from the start."""

    owner_reference: Annotated[str, Meta(min_length=1, max_length=255)]
    name: Name
    currency: Currency
    opening_balance: OpeningBalance = msgspec.field(default_factory=msgspec.Raw)
    idempotency_key: Key | None = None


class KeyedAccountBatch(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Accounts to open."""

    accounts: Annotated[list[KeyedAccount], Meta(min_length=1, max_length=ITEMS_MAX)]
