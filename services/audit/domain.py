"""What each event means for the audit log: one row an event, by pure functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from services.audit.details import clean, details_of, foreign_details_of, utc
from services.audit.errors import UnknownActivity
from shared.audit_chain.canonical import Entry
from shared.contracts.audit import Action, ResourceType, Result
from shared.contracts.base import Context, Message
from shared.contracts.fraud import TransferScreened, Verdict
from shared.contracts.gateway import ActivityRecorded, Instruction
from shared.contracts.transfer import (
    AccountChanged,
    AccountState,
    CommandOutcome,
    Posting,
    Sighting,
    Status,
    TransferSettled,
)
from shared.money import to_text

IP_CHARACTERS_MAX = 64
USER_AGENT_CHARACTERS_MAX = 512
REQUEST_ID_CHARACTERS_MAX = 128
RESOURCE_ID_CHARACTERS_MAX = 255
ERROR_CHARACTERS_MAX = 1_000


_VERDICTS: Mapping[Verdict, Result] = {
    Verdict.APPROVED: Result.SUCCESS,
    Verdict.BLOCKED: Result.BLOCKED,
    Verdict.CONFLICT: Result.FAILED,
}
_ENDS: Mapping[Status, Result] = {
    Status.COMPLETED: Result.SUCCESS,
    Status.FAILED: Result.FAILED,
    Status.BLOCKED: Result.BLOCKED,
}
_OPERATIONS: Mapping[str, Action] = {
    "open": Action.CREATE,
    "rename": Action.UPDATE,
    "close": Action.DELETE,
    "restore": Action.RESTORE,
    "hide_transfer": Action.DELETE,
    "restore_transfer": Action.RESTORE,
}


def entry_of(event: Message) -> Entry:
    """The row that records `event`.

    Raises:
        UnknownActivity: it names something that no row may have.
    """
    return _ENTRIES[type(event)](event)


def _of_screened(event: TransferScreened) -> Entry:
    asked, screening = event.instruction, event.screening
    details = _asked(asked) | {
        "verdict": screening.verdict,
        "policy": screening.policy,
        "limits_version": screening.limits_version,
        "reasons": screening.reasons,
    }
    if screening.differing_fields:
        details["differing_fields"] = screening.differing_fields
    is_conflict = screening.verdict is Verdict.CONFLICT
    return _entry(
        event.event_id,
        screening.decided_at,
        asked.context,
        (Action.FRAUD_CHECK, ResourceType.TRANSACTION, str(asked.transfer_id), _VERDICTS[screening.verdict]),
        details_of(details),
        CommandOutcome.IDEMPOTENCY_KEY_REUSED if is_conflict else None,
    )


def _of_settled(event: TransferSettled) -> Entry:
    asked = event.instruction
    details = _asked(asked) | {"retry_count": event.retry_count}
    if event.debit is not None:
        details["debit"] = _posting(event.debit, asked.currency)
    if event.credit is not None:
        details["credit"] = _posting(event.credit, asked.currency)
    if event.seen is not None:
        details["seen"] = _seen(event.seen, asked.currency)
    return _entry(
        event.event_id,
        event.settled_at,
        asked.context,
        (Action.TRANSFER, ResourceType.TRANSACTION, str(asked.transfer_id), _ENDS[event.status]),
        details_of(details),
        event.failure_reason,
    )


def _of_changed(event: AccountChanged) -> Entry:
    action = _OPERATIONS.get(event.operation)
    if action is None:
        raise UnknownActivity(f"no row records the operation {event.operation!r}")
    applied = event.outcome is CommandOutcome.APPLIED
    details: dict[str, Any] = {"command_id": event.command_id, "operation": event.operation}
    if event.account is not None:
        details |= _account(event.account)
    if event.differing_fields:
        details["differing_fields"] = event.differing_fields
    return _entry(
        event.event_id,
        event.occurred_at,
        event.context,
        (action, *_subject(event), Result.SUCCESS if applied else Result.FAILED),
        details_of(details),
        None if applied else event.outcome,
    )


def _subject(event: AccountChanged) -> tuple[ResourceType, str]:
    if event.transfer_id is not None:
        return ResourceType.TRANSACTION, str(event.transfer_id)
    return ResourceType.ACCOUNT, str(event.account_id)


def _of_activity(event: ActivityRecorded) -> Entry:
    try:
        action, resource, result = Action(event.action), ResourceType(event.resource_type), Result(event.status)
    except ValueError as error:
        raise UnknownActivity(str(error)) from None
    return _entry(
        event.event_id,
        event.occurred_at,
        event.context,
        (action, resource, _bounded(event.resource_id, RESOURCE_ID_CHARACTERS_MAX), result),
        foreign_details_of(event.details),
        _bounded(event.error_message, ERROR_CHARACTERS_MAX),
    )


_ENTRIES: Mapping[type[Message], Callable[[Any], Entry]] = {
    TransferScreened: _of_screened,
    TransferSettled: _of_settled,
    AccountChanged: _of_changed,
    ActivityRecorded: _of_activity,
}


def _entry(
    event_id: UUID,
    occurred_at: datetime,
    context: Context,
    what: tuple[Action, ResourceType, str | None, Result],
    details: msgspec.Raw,
    error_message: str | None,
) -> Entry:
    action, resource_type, resource_id, result = what
    return Entry(
        event_id,
        utc(occurred_at),
        context.user_id,
        action,
        resource_type,
        resource_id,
        result,
        _bounded(context.ip, IP_CHARACTERS_MAX),
        _bounded(context.user_agent, USER_AGENT_CHARACTERS_MAX),
        clean(context.request_id, REQUEST_ID_CHARACTERS_MAX),
        details,
        error_message,
    )


def _bounded(text: str | None, characters_max: int) -> str | None:
    return clean(text, characters_max) if text else None


def _asked(asked: Instruction) -> dict[str, Any]:
    return {
        "kind": asked.kind,
        "owner_id": asked.owner_id,
        "from_account_id": asked.from_account_id,
        "to_account_id": asked.to_account_id,
        "amount": to_text(asked.amount_minor, asked.currency),
        "currency": asked.currency,
    }


def _posting(posting: Posting, currency: str) -> dict[str, Any]:
    return {
        "account_seq": posting.account_seq,
        "balance_before": to_text(posting.balance_before_minor, currency),
        "balance_after": to_text(posting.balance_after_minor, currency),
    }


def _seen(seen: Sighting, currency: str) -> dict[str, Any]:
    return {"account_seq": seen.account_seq, "balance": to_text(seen.balance_minor, currency)}


def _account(account: AccountState) -> dict[str, Any]:
    return {
        "owner_id": account.owner_id,
        "name": clean(account.name, 255),
        "currency": account.currency,
        "version": account.version,
    }
