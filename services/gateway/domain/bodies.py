"""The bodies that clients get. A transfer's is a pure function of its row, so that every replay is the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, UnsetType

from services.gateway.domain import views
from services.gateway.errors import FieldError, Problem
from shared.contracts.fraud import Reason
from shared.contracts.gateway import Kind
from shared.money import to_text

_encoder = msgspec.json.Encoder()

# A pending transfer is worth asking for again after this long.
PENDING_RETRY_AFTER_S = 1


def _one_of(*values: str) -> Meta:
    return Meta(extra_json_schema={"enum": [str(value) for value in values]})


Moment = Annotated[datetime, Meta(tz=True, description="RFC 3339, UTC.")]
Money = Annotated[str, Meta(description="In major units.", pattern=r"^-?[0-9]+(\.[0-9]+)?$")]
Object = Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"})]


class UserBody(msgspec.Struct, frozen=True, kw_only=True):
    """A user."""

    id: UUID
    email: str | None
    full_name: str
    role: Annotated[str, _one_of("customer", "admin")]
    is_active: bool
    created_at: Moment


class TokenBody(msgspec.Struct, frozen=True, kw_only=True):
    """An access token; `expires_in` in seconds."""

    access_token: str
    expires_in: int
    token_type: str = "bearer"  # noqa: S105 - the name of the scheme


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Who is logged in, and for how long. The token itself is in the cookie alone."""

    user: UserBody
    expires_in: Annotated[int, Meta(description="Seconds until the session must have been renewed.")]
    ends_in: Annotated[int, Meta(description="Seconds until the password is asked for again, renewed or not.")]


class AccountBody(msgspec.Struct, frozen=True, kw_only=True):
    """An account; the balance in major units."""

    id: UUID
    owner_id: UUID | None
    name: str
    currency: str
    balance: Money
    account_seq: int
    version: int
    created_at: Moment
    updated_at: Moment
    # Only operators see deleted accounts.
    is_deleted: bool | UnsetType = UNSET


class EntryBody(msgspec.Struct, frozen=True, kw_only=True):
    """One ledger entry of an account."""

    id: UUID
    transfer_id: UUID
    account_id: UUID
    account_seq: int
    direction: Annotated[str, _one_of("debit", "credit")]
    amount: Money
    currency: str
    balance_before: Money
    balance_after: Money
    created_at: Moment


class TransferBody(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer."""

    id: UUID
    kind: Annotated[str, _one_of(*Kind)]
    status: Annotated[str, _one_of(views.PENDING, views.COMPLETED, views.FAILED, views.BLOCKED)]
    from_account_id: UUID
    to_account_id: UUID
    amount: Money
    currency: str
    description: str | None
    metadata: Object | None
    failure_reason: str | None
    reasons: tuple[Reason, ...]
    retry_count: int
    created_at: Moment
    updated_at: Moment
    settled_at: Moment | None


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True):
    """A problem, RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: Sequence[FieldError] | UnsetType = UNSET
    differing_fields: Sequence[str] | UnsetType = UNSET
    transfer_id: UUID | UnsetType = UNSET
    failure_reason: str | UnsetType | None = UNSET
    reasons: Sequence[Reason] | UnsetType = UNSET


class TransferItemBody(msgspec.Struct, frozen=True, kw_only=True):
    """How one item of a batch call ended."""

    index: int
    status_code: int
    transfer: TransferBody | UnsetType = UNSET
    problem: ProblemBody | UnsetType = UNSET


class AccountItemBody(msgspec.Struct, frozen=True, kw_only=True):
    """How one item of a batch of accounts ended."""

    index: int
    status_code: int
    account: AccountBody | UnsetType = UNSET
    problem: ProblemBody | UnsetType = UNSET


class TransferItems(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a batch call, in order."""

    items: Sequence[TransferItemBody]


class AccountItems(msgspec.Struct, frozen=True, kw_only=True):
    """The items of a batch call, in order."""

    items: Sequence[AccountItemBody]


def encode(body: Any) -> bytes:
    """JSON, the one way that this service writes it."""
    return _encoder.encode(body)


def transfer(view: views.TransferView) -> TransferBody:
    """The body of a transfer in whatever state."""
    return TransferBody(
        id=view.transfer_id,
        kind=view.kind.value,
        status=view.status,
        from_account_id=view.from_account_id,
        to_account_id=view.to_account_id,
        amount=to_text(view.amount_minor, view.currency),
        currency=view.currency,
        description=view.description,
        metadata=None if view.metadata is None else msgspec.Raw(view.metadata),
        failure_reason=view.failure_reason,
        reasons=view.reasons,
        retry_count=view.retry_count,
        created_at=view.requested_at,
        # Not the row's own column, which deleting and restoring move: a replay must not change with them.
        updated_at=view.settled_at or view.requested_at,
        settled_at=view.settled_at,
    )


def account(view: views.AccountView, *, tell_deletion: bool = False) -> AccountBody:
    """The body of an account."""
    return AccountBody(
        id=view.account_id,
        owner_id=view.owner_id,
        name=view.name,
        currency=view.currency,
        balance=to_text(view.balance_minor, view.currency),
        account_seq=view.account_seq,
        version=view.version,
        created_at=view.created_at,
        updated_at=view.updated_at,
        is_deleted=view.is_deleted if tell_deletion else UNSET,
    )


def entry(view: views.EntryView) -> EntryBody:
    """The body of a ledger entry."""
    return EntryBody(
        id=view.entry_id,
        transfer_id=view.transfer_id,
        account_id=view.account_id,
        account_seq=view.account_seq,
        direction=view.direction,
        amount=to_text(view.amount_minor, view.currency),
        currency=view.currency,
        balance_before=to_text(view.balance_before_minor, view.currency),
        balance_after=to_text(view.balance_after_minor, view.currency),
        created_at=view.created_at,
    )


def problem(error: Problem, request_id: str) -> ProblemBody:
    """The body of a problem."""
    return ProblemBody(
        type=f"urn:remit:problem:{error.code}",
        title=_title(error.code),
        status=error.status,
        detail=error.detail,
        code=error.code,
        request_id=request_id,
        errors=error.errors or UNSET,
        differing_fields=error.differing_fields or UNSET,
        transfer_id=error.transfer_id or UNSET,
    )


def decided_problem(view: views.TransferView) -> ProblemBody:
    """How a transfer that was blocked or failed is answered; the request id is the first request's, from the row."""
    status, code, detail = _decided(view)
    return ProblemBody(
        type=f"urn:remit:problem:{code}",
        title=_title(code),
        status=status,
        detail=detail,
        code=code,
        request_id=view.request_id,
        transfer_id=view.transfer_id,
        failure_reason=view.failure_reason,
        reasons=view.reasons if view.status == views.BLOCKED else UNSET,
    )


_FAILURES = {
    "same_account": "Source and destination are the same account.",
    "account_not_found": "No such source account.",
    "destination_not_found": "No such destination account.",
    "account_closed": "One of the accounts is closed.",
    "currency_mismatch": "The transfer's currency is not that of both accounts.",
    "insufficient_funds": "The source account cannot cover this transfer.",
    "balance_limit": "The destination account cannot hold that much.",
    "retries_exhausted": "The transfer could not be carried out, and will not be.",
    "internal_error": "The transfer could not be carried out, and will not be.",
}


def _decided(view: views.TransferView) -> tuple[int, str, str]:
    if view.status == views.BLOCKED:
        return 403, "transfer_blocked", "The transfer exceeds a limit."
    code = view.failure_reason or "internal_error"
    return (404 if code == "account_not_found" else 422), code, _FAILURES.get(code, "The transfer failed.")


def status_of(view: views.TransferView) -> int:
    """The status by which a transfer in this state is answered."""
    if view.status == views.COMPLETED:
        return 201
    return 202 if view.status == views.PENDING else _decided(view)[0]


def outcome(view: views.TransferView) -> bytes:
    """The answer to the call that asked for this transfer."""
    succeeded = view.status in {views.COMPLETED, views.PENDING}
    return _encoder.encode(transfer(view) if succeeded else decided_problem(view))


def transfer_item(index: int, view: views.TransferView) -> TransferItemBody:
    """The same for one item of a batch call."""
    status = status_of(view)
    if status in {201, 202}:
        return TransferItemBody(index=index, status_code=status, transfer=transfer(view))
    return TransferItemBody(index=index, status_code=status, problem=decided_problem(view))


def _title(code: str) -> str:
    return code.replace("_", " ").capitalize()
