"""What each event says in the audit log, as a table."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.audit.domain import entry_of
from services.audit.errors import UnknownActivity
from shared.contracts.base import Context, Message
from shared.contracts.fraud import Reason, TransferScreened, Verdict
from shared.contracts.gateway import ActivityRecorded
from shared.contracts.transfer import (
    AccountChanged,
    AccountState,
    CommandOutcome,
    FailureReason,
    Posting,
    Sighting,
    Status,
)
from tests.support.builders import ALICE, CONTEXT, NOON, instruction, screening, settled

A, B, TRANSFER, COMMAND = UUID(int=0xA), UUID(int=0xB), UUID(int=0x7), UUID(int=0xC)
ASKED = instruction(transfer_id=TRANSFER, from_account_id=A, to_account_id=B)
ASKED_DETAILS = {
    "kind": "transfer",
    "owner_id": str(ALICE),
    "from_account_id": str(A),
    "to_account_id": str(B),
    "amount": "10.00",
    "currency": "USD",
}
REASON = Reason(code="amount_above_maximum", limit="5.00", usage="0.00", attempted="10.00")


def screened(verdict: Verdict = Verdict.APPROVED, **changes: Any) -> TransferScreened:
    return TransferScreened(instruction=ASKED, screening=screening(verdict, **changes))


def changed(operation: str, outcome: CommandOutcome = CommandOutcome.APPLIED, **changes: Any) -> AccountChanged:
    fields: dict[str, Any] = {
        "command_id": COMMAND,
        "fingerprint": "v1:first",
        "account_id": A,
        "operation": operation,
        "outcome": outcome,
        "occurred_at": NOON,
        "context": CONTEXT,
    }
    return AccountChanged(**{**fields, **changes})


def activity(**changes: Any) -> ActivityRecorded:
    fields: dict[str, Any] = {
        "activity_id": COMMAND,
        "action": "LOGIN",
        "resource_type": "user",
        "status": "success",
        "occurred_at": NOON,
        "context": CONTEXT,
    }
    return ActivityRecorded(**{**fields, **changes})


ACCOUNT = AccountState(
    account_id=A,
    owner_id=ALICE,
    name="Rent\x00",
    currency="USD",
    balance_minor=0,
    account_seq=0,
    version=2,
    created_at=NOON,
    updated_at=NOON,
)
CHANGE = {"command_id": str(COMMAND)}
OWNED = {"owner_id": str(ALICE), "name": "Rent\\x00", "currency": "USD", "version": 2}
VERDICT = {**ASKED_DETAILS, "policy": "user", "limits_version": "v", "reasons": []}
FAILED = {"status": Status.FAILED, "debit": None, "credit": None}

CASES: list[tuple[Message, tuple[str, str, str | None, str], str | None, dict[str, Any]]] = [
    (
        screened(),
        ("FRAUD_CHECK", "transaction", str(TRANSFER), "success"),
        None,
        {**VERDICT, "verdict": "approved"},
    ),
    (
        screened(Verdict.BLOCKED, reasons=(REASON,)),
        ("FRAUD_CHECK", "transaction", str(TRANSFER), "blocked"),
        None,
        {**VERDICT, "verdict": "blocked", "reasons": [msgspec.to_builtins(REASON)]},
    ),
    (
        screened(Verdict.CONFLICT, differing_fields=("amount",)),
        ("FRAUD_CHECK", "transaction", str(TRANSFER), "failed"),
        "idempotency_key_reused",
        {**VERDICT, "verdict": "conflict", "differing_fields": ["amount"]},
    ),
    (
        settled(
            instruction=ASKED,
            retry_count=2,
            debit=Posting(account_id=A, account_seq=3, balance_before_minor=1_005, balance_after_minor=5),
        ),
        ("TRANSFER", "transaction", str(TRANSFER), "success"),
        None,
        {
            **ASKED_DETAILS,
            "retry_count": 2,
            "debit": {"account_seq": 3, "balance_before": "10.05", "balance_after": "0.05"},
            "credit": {"account_seq": 1, "balance_before": "0.00", "balance_after": "10.00"},
        },
    ),
    (
        settled(
            instruction=ASKED,
            failure_reason=FailureReason.INSUFFICIENT_FUNDS,
            seen=Sighting(balance_minor=7, account_seq=3),
            **FAILED,
        ),
        ("TRANSFER", "transaction", str(TRANSFER), "failed"),
        "insufficient_funds",
        {**ASKED_DETAILS, "retry_count": 0, "seen": {"account_seq": 3, "balance": "0.07"}},
    ),
    (
        settled(instruction=ASKED, **{**FAILED, "status": Status.BLOCKED}),
        ("TRANSFER", "transaction", str(TRANSFER), "blocked"),
        None,
        {**ASKED_DETAILS, "retry_count": 0},
    ),
    (
        changed("open", account=ACCOUNT),
        ("CREATE", "account", str(A), "success"),
        None,
        {**CHANGE, **OWNED, "operation": "open"},
    ),
    (
        changed("rename", account=ACCOUNT),
        ("UPDATE", "account", str(A), "success"),
        None,
        {**CHANGE, **OWNED, "operation": "rename"},
    ),
    (
        changed("close", CommandOutcome.ACCOUNT_NOT_EMPTY),
        ("DELETE", "account", str(A), "failed"),
        "account_not_empty",
        {**CHANGE, "operation": "close"},
    ),
    (
        changed("restore", CommandOutcome.IDEMPOTENCY_KEY_REUSED, differing_fields=("account_id",)),
        ("RESTORE", "account", str(A), "failed"),
        "idempotency_key_reused",
        {**CHANGE, "operation": "restore", "differing_fields": ["account_id"]},
    ),
    (activity(), ("LOGIN", "user", None, "success"), None, {}),
    (
        activity(
            action="ACCOUNT_ACCESS",
            resource_type="account",
            resource_id=str(A),
            status="blocked",
            error_message="not the owner's",
            details={"path": msgspec.Raw(b'"/accounts"'), "tries": msgspec.Raw(b"3")},
        ),
        ("ACCOUNT_ACCESS", "account", str(A), "blocked"),
        "not the owner's",
        {"path": "/accounts", "tries": 3},
    ),
]


@pytest.mark.parametrize(("event", "what", "error_message", "details"), CASES)
def test_an_event_is_one_row_that_says_who_did_what_to_what_and_how_it_ended(
    event: Message, what: tuple[str, ...], error_message: str | None, details: dict[str, Any]
) -> None:
    entry = entry_of(event)
    assert (entry.action, entry.resource_type, entry.resource_id, entry.status) == what
    assert entry.error_message == error_message
    assert json.loads(bytes(entry.details)) == details
    assert (entry.event_id, entry.occurred_at) == (event.event_id, NOON)
    assert (entry.user_id, entry.ip_address, entry.user_agent, entry.request_id) == (
        ALICE,
        "192.0.2.1",
        "tests",
        "req-1",
    )


@pytest.mark.parametrize(
    "event",
    [
        activity(action="SING"),
        activity(resource_type="teapot"),
        activity(status="meh"),
        changed("melt"),
    ],
)
def test_what_no_row_may_have_is_refused(event: Message) -> None:
    with pytest.raises(UnknownActivity):
        entry_of(event)


def test_what_a_client_sent_is_bounded_and_storable() -> None:
    context = Context(request_id="r\x00" * 200, ip="::1" * 50, user_agent="x" * 10_000)
    entry = entry_of(activity(context=context, resource_id="\x00" * 400, error_message="e" * 5_000))
    texts = [entry.request_id, entry.ip_address, entry.user_agent, entry.resource_id, entry.error_message]
    assert [len(text or "") for text in texts] == [128, 64, 512, 255, 1_000]
    assert all(text is not None and "\x00" not in text and text.endswith("…") for text in texts)
    assert entry_of(activity(context=Context(request_id="r"))).user_agent is None


@pytest.mark.parametrize(("operation", "action"), [("hide_transfer", "DELETE"), ("restore_transfer", "RESTORE")])
def test_hiding_and_showing_a_transfer_is_told_of_the_transfer(operation: str, action: str) -> None:
    entry = entry_of(changed(operation, account_id=None, transfer_id=TRANSFER))
    assert (entry.action, entry.resource_type, entry.resource_id) == (action, "transaction", str(TRANSFER))


def test_an_accounts_name_is_bounded_like_every_other_text() -> None:
    named = msgspec.structs.replace(ACCOUNT, name="x" * 300)
    entry = entry_of(changed("rename", account=named))
    assert json.loads(bytes(entry.details))["name"] == "x" * 254 + "…"
