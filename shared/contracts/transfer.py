"""What transfer publishes: how each transfer ended, and how each account command did."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from shared.contracts.base import Context, Data, Message
from shared.contracts.fraud import Screening
from shared.contracts.gateway import Instruction
from shared.ids import event_id


class Status(StrEnum):
    """How a transfer ended. Before that it is pending, which is no row."""

    COMPLETED = "completed"
    FAILED = "failed"
    BLOCKED = "blocked"


class FailureReason(StrEnum):
    """Why a transfer failed, in the order in which the checks run."""

    SAME_ACCOUNT = "same_account"
    ACCOUNT_NOT_FOUND = "account_not_found"
    DESTINATION_NOT_FOUND = "destination_not_found"
    ACCOUNT_CLOSED = "account_closed"
    CURRENCY_MISMATCH = "currency_mismatch"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    BALANCE_LIMIT = "balance_limit"
    RETRIES_EXHAUSTED = "retries_exhausted"
    INTERNAL_ERROR = "internal_error"


class Posting(Data, frozen=True, kw_only=True):
    """One side of a completed transfer, as it changed its account. Amounts in minor units."""

    account_id: UUID
    account_seq: int
    balance_before_minor: int
    balance_after_minor: int


class Sighting(Data, frozen=True, kw_only=True):
    """What a refusal for want of funds saw: the source's balance (minor units) and position at that moment."""

    balance_minor: int
    account_seq: int


class TransferSettled(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A transfer has ended; the committed row says the same."""

    TYPE: ClassVar[str] = "transfer.settled"

    instruction: Instruction
    screening: Screening
    status: Status
    settled_at: datetime
    failure_reason: FailureReason | None = None
    retry_count: int = 0
    debit: Posting | None = None
    credit: Posting | None = None
    seen: Sighting | None = None

    @property
    def event_id(self) -> UUID:
        return event_id(self.instruction.transfer_id, self.TYPE)


class TransferRefused(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The id was used before with another payload. Told to the waiting gateway alone; no row, no event."""

    TYPE: ClassVar[str] = "transfer.refused"

    transfer_id: UUID
    fingerprint: str
    differing_fields: tuple[str, ...] = ()

    @property
    def event_id(self) -> UUID:
        return event_id(self.transfer_id, self.TYPE, self.fingerprint)


class AccountKind(StrEnum):
    """Settlement accounts stand for the world outside; only they may be negative."""

    CUSTOMER = "customer"
    SETTLEMENT = "settlement"


class AccountState(Data, frozen=True, kw_only=True, omit_defaults=True):
    """An account as it stood after a command."""

    account_id: UUID
    owner_id: UUID | None
    name: str
    currency: str
    balance_minor: int
    account_seq: int
    version: int
    created_at: datetime
    updated_at: datetime
    is_deleted: bool = False


class CommandOutcome(StrEnum):
    """How an account command ended."""

    APPLIED = "applied"
    ACCOUNT_NOT_FOUND = "account_not_found"
    ACCOUNT_NOT_EMPTY = "account_not_empty"
    TRANSFER_NOT_FOUND = "transfer_not_found"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    INTERNAL_ERROR = "internal_error"


class AccountChanged(Message, frozen=True, kw_only=True, omit_defaults=True):
    """An account command has ended."""

    TYPE: ClassVar[str] = "account.changed"

    command_id: UUID
    fingerprint: str
    operation: str
    outcome: CommandOutcome
    occurred_at: datetime
    context: Context
    # What the command was about: one of the two.
    account_id: UUID | None = None
    transfer_id: UUID | None = None
    account: AccountState | None = None
    differing_fields: tuple[str, ...] = ()

    @property
    def event_id(self) -> UUID:
        return event_id(self.command_id, self.TYPE, self.fingerprint)
