"""Valid messages with sensible defaults, so that a test names only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from shared.contracts.base import Context
from shared.contracts.fraud import Policy, Screening, TransferScreened, Verdict
from shared.contracts.gateway import (
    AccountCommand,
    DeadLetterAct,
    DeadLetterCommand,
    Instruction,
    Kind,
    OpenAccount,
    Operation,
    TransferRequested,
)
from shared.contracts.transfer import Posting, Status, TransferSettled

NOON = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
ALICE, BOB = UUID(int=0xA11CE), UUID(int=0xB0B)
CONTEXT = Context(request_id="req-1", user_id=ALICE, ip="192.0.2.1", user_agent="tests")


def instruction(**changes: Any) -> Instruction:
    """A transfer of 10.00 USD by Alice between two fresh accounts."""
    fields: dict[str, Any] = {
        "transfer_id": uuid4(),
        "fingerprint": "v1:first",
        "kind": Kind.TRANSFER,
        "caller_id": ALICE,
        "owner_id": ALICE,
        "from_account_id": uuid4(),
        "to_account_id": uuid4(),
        "amount_minor": 1_000,
        "currency": "USD",
        "requested_at": NOON,
        "context": CONTEXT,
    }
    return Instruction(**{**fields, **changes})


def requested(*, reply_to: str = "", **changes: Any) -> TransferRequested:
    """A request as the gateway publishes it."""
    return TransferRequested(instruction=instruction(**changes), reply_to=reply_to)


def screening(verdict: Verdict = Verdict.APPROVED, **changes: Any) -> Screening:
    """A verdict under the users' limits."""
    return Screening(
        **{"verdict": verdict, "policy": Policy.USER, "limits_version": "v", "decided_at": NOON, **changes}
    )


def screened(verdict: Verdict = Verdict.APPROVED, *, reply_to: str = "", **changes: Any) -> TransferScreened:
    """A decided transfer as fraud publishes it."""
    return TransferScreened(instruction=instruction(**changes), screening=screening(verdict), reply_to=reply_to)


def settled(**changes: Any) -> TransferSettled:
    """A completed transfer that was the first posting of both its accounts."""
    asked = changes.pop("instruction", None) or instruction()
    amount = asked.amount_minor
    fields: dict[str, Any] = {
        "instruction": asked,
        "screening": screening(),
        "status": Status.COMPLETED,
        "settled_at": NOON,
        "debit": Posting(
            account_id=asked.from_account_id, account_seq=2, balance_before_minor=amount, balance_after_minor=0
        ),
        "credit": Posting(
            account_id=asked.to_account_id, account_seq=1, balance_before_minor=0, balance_after_minor=amount
        ),
    }
    return TransferSettled(**{**fields, **changes})


def dead_letter_command(service: str = "ledger", **changes: Any) -> DeadLetterCommand:
    """An operator's wish to replay a letter."""
    fields: dict[str, Any] = {
        "command_id": uuid4(),
        "letter_id": uuid4(),
        "service": service,
        "act": DeadLetterAct.REPLAY,
        "requested_at": NOON,
        "context": CONTEXT,
    }
    return DeadLetterCommand(**{**fields, **changes})


def account_command(operation: Operation | None = None, **changes: Any) -> AccountCommand:
    """A command that opens an account for Alice, unless told otherwise."""
    command_id = changes.pop("command_id", None) or uuid4()
    fields: dict[str, Any] = {
        "command_id": command_id,
        "fingerprint": "v1:first",
        "account_id": command_id,
        "operation": operation or OpenAccount(owner_id=ALICE, name="Main", currency="USD"),
        "requested_at": NOON,
        "context": CONTEXT,
    }
    return AccountCommand(**{**fields, **changes})
