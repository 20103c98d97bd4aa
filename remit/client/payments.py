"""What moves money: each call is made whole, key and all, before its first try, so that every try is the same."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import uuid4

import msgspec

from remit.client.models import NewAccount, NewMovement, NewTransfer

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(frozen=True, kw_only=True)
class Payment:
    """One transfer, deposit or withdrawal to ask for. Whoever keeps it can ask again after any crash."""

    path: str
    body: bytes
    key: str

    @classmethod
    def transfer(cls, order: NewTransfer, *, key: str | None = None) -> Payment:
        """From an account of one's own. A key is made where neither `key` nor the order has one."""
        body = msgspec.json.encode(msgspec.structs.replace(order, idempotency_key=None))
        return cls(path="/api/v1/transfers", body=body, key=checked(order.idempotency_key if key is None else key))

    @classmethod
    def deposit(cls, order: NewMovement, *, key: str | None = None) -> Payment:
        """From outside into an account, by an operator."""
        return cls(path="/api/v1/admin/deposits", body=msgspec.json.encode(order), key=checked(key))

    @classmethod
    def withdrawal(cls, order: NewMovement, *, key: str | None = None) -> Payment:
        """Out of an account, by an operator."""
        return cls(path="/api/v1/admin/withdrawals", body=msgspec.json.encode(order), key=checked(key))


@dataclass(frozen=True, kw_only=True)
class PaymentBatch:
    """Many to ask for in one call. One `key` stands for all of it; where there is none, each item has its own."""

    path: str
    field: str
    items: tuple[NewTransfer | NewAccount, ...]
    key: str | None = None

    @classmethod
    def transfers(cls, orders: Sequence[NewTransfer], *, key: str | None = None) -> PaymentBatch:
        """Transfers of one's own."""
        return cls(path="/api/v1/transfers/batch", field="transfers", items=tuple(orders), key=checked(key))

    @classmethod
    def for_owners(cls, orders: Sequence[NewTransfer]) -> PaymentBatch:
        """An operator's transfers, each on behalf of its source account's owner; keys are made where they lack."""
        keyed = tuple(
            msgspec.structs.replace(order, idempotency_key=checked(order.idempotency_key)) for order in orders
        )
        return cls(path="/api/v1/admin/transfers/batch", field="transfers", items=keyed)

    @classmethod
    def openings(cls, accounts: Sequence[NewAccount]) -> PaymentBatch:
        """Accounts that an operator opens, with what they hold from the start; keys are made where they lack."""
        keyed = tuple(msgspec.structs.replace(one, idempotency_key=checked(one.idempotency_key)) for one in accounts)
        return cls(path="/api/v1/admin/accounts/batch", field="accounts", items=keyed)


def new_key() -> str:
    """An idempotency key that nobody has used."""
    return str(uuid4())


def checked(key: str | None) -> str:
    """The key, or a new one where there is none.

    Raises:
        ValueError: the API takes no such key.
    """
    if key is None:
        return new_key()
    if not _KEY.fullmatch(key):
        raise ValueError("an idempotency key has 1 to 255 printable ASCII characters")
    return key
