"""What the API says and is told. Amounts are decimal strings; fields that this release does not know are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec

Item = TypeVar("Item")


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A value that the API sent."""


class Problem(Answer, frozen=True, kw_only=True):
    """RFC 9457 problem details. `errors` names fields; `reasons` the limits that a blocked transfer exceeded."""

    status: int = 0
    code: str = "unknown"
    title: str = ""
    detail: str = ""
    request_id: str = ""
    errors: list[dict[str, Any]] = []
    transfer_id: str | None = None
    failure_reason: str | None = None
    reasons: list[dict[str, Any]] = []


class Token(Answer, frozen=True, kw_only=True):
    """`expires_in` in seconds."""

    access_token: str
    expires_in: float


class User(Answer, frozen=True, kw_only=True):
    """Somebody who may log in."""

    id: str
    email: str
    role: str


class Account(Answer, frozen=True, kw_only=True):
    """An account as its owner sees it."""

    id: str
    owner_id: str | None
    name: str
    currency: str
    balance: str
    account_seq: int
    created_at: str


class Transfer(Answer, frozen=True, kw_only=True):
    """A transfer; `status` is pending, completed, failed or blocked."""

    id: str
    kind: str
    status: str
    from_account_id: str
    to_account_id: str
    amount: str
    currency: str
    failure_reason: str | None = None
    reasons: list[dict[str, Any]] | None = None
    retry_count: int = 0


class BatchItem(Answer, frozen=True, kw_only=True):
    """How one item of a batch call stands."""

    index: int
    status_code: int
    account: Account | None = None
    transfer: Transfer | None = None
    problem: Problem | None = None

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


class Check(Answer, frozen=True, kw_only=True):
    """One named check of a verification."""

    name: str
    ok: bool
    detail: str | dict[str, Any] | None = None


class Verification(Answer, frozen=True, kw_only=True):
    """An account against its ledger; `status` is verified, catching_up or mismatch."""

    account_id: str
    status: str
    account_balance: str
    ledger_balance: str
    account_seq: int
    ledger_position: int
    checks: list[Check]


class DeadLetter(Answer, frozen=True, kw_only=True):
    """What a service could not carry. `item_bytes` is the whole item's size; a list shows its beginning."""

    id: str
    service: str
    message_type: str
    reason: str
    detail: str
    origin: str
    item: str
    item_bytes: int
    parked_at: datetime
    times_parked: int
    resolution: str | None = None
    resolved_at: datetime | None = None
    resolved_by: str | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A value that the API is told."""


class NewAccount(Order, frozen=True, kw_only=True, omit_defaults=True):
    """An account to open on an owner's behalf, with a first deposit where `opening_balance` is given."""

    owner_reference: str
    name: str
    currency: str
    idempotency_key: str
    opening_balance: str | None = None


class NewTransfer(Order, frozen=True, kw_only=True, omit_defaults=True):
    """A transfer to make; inside an operator's batch each item may carry its own key."""

    from_account_id: str
    to_account_id: str
    amount: str
    currency: str
    description: str | None = None
    metadata: dict[str, Any] | None = None
    idempotency_key: str | None = None
