"""What clients may see of a transfer or an account, gathered from a row, an event or a request that still waits."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from shared.contracts.fraud import Reason
from shared.contracts.gateway import Instruction, Kind
from shared.contracts.transfer import AccountState, TransferSettled

PENDING = "pending"
COMPLETED = "completed"
BLOCKED = "blocked"
FAILED = "failed"


class TransferView(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer as its row, its event or its request tells it; the first two give the same view."""

    transfer_id: UUID
    fingerprint: str
    kind: Kind
    caller_id: UUID
    owner_id: UUID
    from_account_id: UUID
    to_account_id: UUID
    amount_minor: int
    currency: str
    description: str | None
    metadata: bytes | None
    status: str
    requested_at: datetime
    # The request that was first accepted: replays repeat it.
    request_id: str
    # What the batch call said whose part it was, if any.
    batch_fingerprint: str | None = None
    failure_reason: str | None = None
    reasons: tuple[Reason, ...] = ()
    retry_count: int = 0
    settled_at: datetime | None = None
    idempotency_key: str | None = None
    # A row's alone: what has not ended cannot be hidden.
    is_deleted: bool = False


class AccountView(msgspec.Struct, frozen=True, kw_only=True):
    """An account as it stands."""

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


class EntryView(msgspec.Struct, frozen=True, kw_only=True):
    """One ledger entry. Amounts in minor units."""

    entry_id: UUID
    transfer_id: UUID
    account_id: UUID
    account_seq: int
    direction: str
    amount_minor: int
    currency: str
    balance_before_minor: int
    balance_after_minor: int
    created_at: datetime


def pending(instruction: Instruction) -> TransferView:
    """A transfer that nobody has settled yet."""
    return _view(instruction, PENDING)


def settled(event: TransferSettled) -> TransferView:
    """A transfer as the event of its end tells it."""
    return _view(
        event.instruction,
        event.status.value,
        failure_reason=None if event.failure_reason is None else event.failure_reason.value,
        reasons=event.screening.reasons,
        retry_count=event.retry_count,
        settled_at=event.settled_at,
    )


def _view(instruction: Instruction, status: str, **ended: Any) -> TransferView:
    return TransferView(
        transfer_id=instruction.transfer_id,
        fingerprint=instruction.fingerprint,
        kind=instruction.kind,
        caller_id=instruction.caller_id,
        owner_id=instruction.owner_id,
        from_account_id=instruction.from_account_id,
        to_account_id=instruction.to_account_id,
        amount_minor=instruction.amount_minor,
        currency=instruction.currency,
        description=instruction.description,
        metadata=metadata_of(instruction.metadata),
        status=status,
        requested_at=instruction.requested_at,
        request_id=instruction.context.request_id,
        batch_fingerprint=None if instruction.batch is None else instruction.batch.fingerprint,
        idempotency_key=instruction.idempotency_key,
        **ended,
    )


def metadata_of(raw: msgspec.Raw | None) -> bytes | None:
    """The canonical text, on its own."""
    return None if raw is None else bytes(raw)


def account(state: AccountState) -> AccountView:
    """An account as a command left it."""
    return AccountView(
        account_id=state.account_id,
        owner_id=state.owner_id,
        name=state.name,
        currency=state.currency,
        balance_minor=state.balance_minor,
        account_seq=state.account_seq,
        version=state.version,
        created_at=state.created_at,
        updated_at=state.updated_at,
        is_deleted=state.is_deleted,
    )
