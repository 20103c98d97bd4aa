"""What the API says and is told. Amounts are decimal strings; fields that this release does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from remit.amounts import minor_of, text_of

Item = TypeVar("Item")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A value that the API sent."""


class FieldError(Answer, frozen=True, kw_only=True):
    """One thing wrong in a request: where, and in a batch call the index of its item."""

    field: str = ""
    message: str = ""
    index: int | None = None


class Reason(Answer, frozen=True, kw_only=True):
    """A limit that a blocked transfer exceeds. Values are decimal strings of its currency, or counts."""

    code: str
    limit: str = ""
    usage: str = ""
    attempted: str = ""


class Problem(Answer, frozen=True, kw_only=True):
    """RFC 9457 problem details. `errors` names fields; `reasons` the limits that a blocked transfer exceeded."""

    status: int = 0
    code: str = "unknown"
    title: str = ""
    detail: str = ""
    request_id: str = ""
    errors: list[FieldError] = []
    differing_fields: list[str] = []
    transfer_id: str | None = None
    failure_reason: str | None = None
    reasons: list[Reason] = []


class Token(Answer, frozen=True, kw_only=True):
    """`expires_in` in seconds. The token stays out of every representation."""

    access_token: str
    expires_in: float

    def __repr__(self) -> str:
        return f"Token(access_token=…, expires_in={self.expires_in})"


class User(Answer, frozen=True, kw_only=True):
    """Somebody who may log in; an owner without a login has no e-mail address."""

    id: str
    email: str | None
    role: str
    full_name: str = ""
    is_active: bool = True
    created_at: datetime | None = None


class Account(Answer, frozen=True, kw_only=True):
    """An account. Only operators are told of its deletion."""

    id: str
    owner_id: str | None
    name: str
    currency: str
    balance: str
    account_seq: int
    created_at: datetime
    version: int = 0
    updated_at: datetime | None = None
    is_deleted: bool | None = None

    @property
    def balance_minor(self) -> int:
        """The balance in minor units."""
        return minor_of(self.balance, self.currency)


class Entry(Answer, frozen=True, kw_only=True):
    """One line of a statement; `direction` is debit or credit."""

    id: str
    transfer_id: str
    account_id: str
    account_seq: int
    direction: str
    amount: str
    currency: str
    balance_before: str
    balance_after: str
    created_at: datetime

    @property
    def amount_minor(self) -> int:
        """The amount in minor units."""
        return minor_of(self.amount, self.currency)


class Transfer(Answer, frozen=True, kw_only=True):
    """A transfer; `status` is pending, completed, failed or blocked.

    `idempotency_key` is no word of the API: the client puts there the key under which it asked for this one.
    """

    id: str
    kind: str
    status: str
    from_account_id: str
    to_account_id: str
    amount: str
    currency: str
    description: str | None = None
    metadata: dict[str, Any] | None = None
    failure_reason: str | None = None
    reasons: list[Reason] | None = None
    retry_count: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    settled_at: datetime | None = None
    idempotency_key: str | None = None

    @property
    def amount_minor(self) -> int:
        """The amount in minor units."""
        return minor_of(self.amount, self.currency)


class BatchItem(Answer, frozen=True, kw_only=True):
    """How one item of a batch call stands. The client adds the key that stands for it: its own, or the call's."""

    index: int
    status_code: int
    account: Account | None = None
    transfer: Transfer | None = None
    problem: Problem | None = None
    idempotency_key: str | None = None

    @property
    def code(self) -> str:
        """The problem's code, or an empty string."""
        return self.problem.code if self.problem is not None else ""


class BatchAnswer(Answer, frozen=True, kw_only=True):
    """The answer of a batch call, in the order of its items."""

    items: list[BatchItem]


class Page(Answer, Generic[Item], frozen=True, kw_only=True):
    """One page of a list; no `next_cursor` means the end."""

    items: list[Item]
    next_cursor: str | None = None


class Stage(Answer, frozen=True, kw_only=True):
    """One step of a transfer's way through the services."""

    stage: str
    at: datetime
    detail: str | dict[str, Any] | None = None


class Timeline(Answer, frozen=True, kw_only=True):
    """A transfer's way, oldest step first."""

    items: list[Stage]


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that the API is told."""


class NewAccount(Order, frozen=True, kw_only=True, omit_defaults=True):
    """An account to open on an owner's behalf, with a first deposit where `opening_balance` is given."""

    owner_reference: str
    name: str
    currency: str
    idempotency_key: str | None = None
    opening_balance: str | Decimal | None = None

    def __post_init__(self) -> None:
        if self.opening_balance is not None:
            msgspec.structs.force_setattr(self, "opening_balance", text_of(self.opening_balance, self.currency))


class NewTransfer(Order, frozen=True, kw_only=True, omit_defaults=True):
    """A transfer to make. `amount` in major units, exact: a string or a Decimal, never a float.

    Inside an operator's batch each item may carry its own key.
    """

    from_account_id: str
    to_account_id: str
    amount: str | Decimal
    currency: str
    description: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "amount", text_of(self.amount, self.currency))


class NewMovement(Order, frozen=True, kw_only=True, omit_defaults=True):
    """Money into or out of the bank, by an operator; the other side is the currency's settlement account."""

    account_id: str
    amount: str | Decimal
    currency: str
    description: str | None = None

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "amount", text_of(self.amount, self.currency))
