"""What the gateway publishes: requests and commands, and its own activity."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

import msgspec

from shared.contracts.base import Context, Data, Message
from shared.ids import event_id


class Kind(StrEnum):
    """What a transfer is for. Deposits come from, and withdrawals go to, the currency's settlement account."""

    TRANSFER = "transfer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


class BatchPlace(Data, frozen=True, kw_only=True, omit_defaults=True):
    """Where an instruction stands in the batch call that its idempotency key covers."""

    batch_id: UUID
    fingerprint: str
    index: int
    count: int


class Instruction(Data, frozen=True, kw_only=True, omit_defaults=True):
    """What was asked, as first accepted. It is stored whole and never changes."""

    transfer_id: UUID
    fingerprint: str
    kind: Kind
    # Whose key it is: the scope of idempotency. `owner_id` is whose limits count and whose source account it must be;
    # an operator may instruct on an owner's behalf.
    caller_id: UUID
    owner_id: UUID
    from_account_id: UUID
    to_account_id: UUID
    amount_minor: int
    currency: str
    requested_at: datetime
    context: Context
    description: str | None = None
    # JSON text as the gateway made it canonical; nobody re-encodes it, so that replies stay the same bytes.
    # msgspec reads `Raw | None` as null alone, so at run time it is `Raw`, and absent is None.
    if TYPE_CHECKING:
        metadata: msgspec.Raw | None = None
    else:
        metadata: msgspec.Raw = None
    idempotency_key: str | None = None
    batch: BatchPlace | None = None


class TransferRequested(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A client asks for a transfer."""

    TYPE: ClassVar[str] = "transfer.requested"

    instruction: Instruction
    # The gateway instance that waits for the outcome; empty where nobody does.
    reply_to: str = ""

    @property
    def event_id(self) -> UUID:
        return event_id(self.instruction.transfer_id, self.TYPE, self.instruction.fingerprint)


class OpenAccount(Data, frozen=True, kw_only=True, tag="open"):
    """Open an account at zero."""

    owner_id: UUID
    name: str
    currency: str


class RenameAccount(Data, frozen=True, kw_only=True, tag="rename"):
    """Give an account another name."""

    name: str


class CloseAccount(Data, frozen=True, kw_only=True, tag="close"):
    """Close an empty account (soft delete)."""


class RestoreAccount(Data, frozen=True, kw_only=True, tag="restore"):
    """Bring a closed account back."""


class HideTransfer(Data, frozen=True, kw_only=True, tag="hide_transfer"):
    """Take a transfer that has ended out of lists and reads (soft delete); nothing else changes."""

    transfer_id: UUID


class RestoreTransfer(Data, frozen=True, kw_only=True, tag="restore_transfer"):
    """Show a hidden transfer again."""

    transfer_id: UUID


Operation = OpenAccount | RenameAccount | CloseAccount | RestoreAccount | HideTransfer | RestoreTransfer


class AccountCommand(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A change of an account, or of what lists show of a transfer; applied once under `command_id`."""

    TYPE: ClassVar[str] = "account.command"

    command_id: UUID
    fingerprint: str
    operation: Operation
    requested_at: datetime
    context: Context
    # None where the operation names a transfer.
    account_id: UUID | None = None
    # Who the account must belong to; none where an operator acts on any account.
    owner_id: UUID | None = None
    reply_to: str = ""

    @property
    def event_id(self) -> UUID:
        return event_id(self.command_id, self.TYPE, self.fingerprint)


class ActivityRecorded(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Something that the gateway alone saw: a login, an audited read, an act of an operator, a refusal."""

    TYPE: ClassVar[str] = "activity.recorded"

    activity_id: UUID
    action: str
    resource_type: str
    status: str
    occurred_at: datetime
    context: Context
    resource_id: str | None = None
    details: dict[str, msgspec.Raw] | None = None
    error_message: str | None = None

    @property
    def event_id(self) -> UUID:
        return event_id(self.activity_id, self.TYPE)


class DeadLetterAct(StrEnum):
    """What an operator does with a dead letter."""

    REPLAY = "replay"
    DISCARD = "discard"


class DeadLetterCommand(Message, frozen=True, kw_only=True, omit_defaults=True):
    """An operator's decision on a letter, for the service that parked it. `letter_id` makes it idempotent."""

    TYPE: ClassVar[str] = "dead_letter.command"

    command_id: UUID
    letter_id: UUID
    service: str
    act: DeadLetterAct
    requested_at: datetime
    context: Context

    @property
    def event_id(self) -> UUID:
        return event_id(self.command_id, self.TYPE)

    @property
    def recipient(self) -> str:
        return self.service
