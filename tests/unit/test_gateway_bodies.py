"""Answers are pure functions of rows: what the event says and what the row says are the same bytes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from services.gateway.domain import bodies, views
from services.gateway.reads.transfers import view_of
from services.transfer.rows import to_columns
from shared.contracts.envelope import open_header, read_items, seal
from shared.contracts.fraud import Reason, Verdict
from shared.contracts.gateway import BatchPlace
from shared.contracts.transfer import FailureReason, Sighting, Status, TransferSettled
from tests.support.builders import NOON, instruction, screening, settled

# The columns that `services.transfer.rows` writes, in its order.
_COLUMNS = [
    "id",
    "fingerprint",
    "kind",
    "caller_id",
    "owner_id",
    "from_account_id",
    "to_account_id",
    "amount_minor",
    "currency",
    "description",
    "metadata",
    "idempotency_key",
    "batch_id",
    "batch_fingerprint",
    "batch_index",
    "batch_count",
    "context",
    "verdict",
    "policy",
    "limits_version",
    "reasons",
    "decided_at",
    "status",
    "failure_reason",
    "retry_count",
    "debit_seq",
    "debit_balance_before_minor",
    "debit_balance_after_minor",
    "credit_seq",
    "credit_balance_before_minor",
    "credit_balance_after_minor",
    "seen_balance_minor",
    "seen_account_seq",
    "created_at",
    "settled_at",
    "updated_at",
]

_WHOLE = instruction(
    description="déjeuner",
    metadata=msgspec.Raw(b'{"a":[1,1.10],"b":"x"}'),
    idempotency_key="key",
    requested_at=datetime(2026, 1, 15, 12, 0, 0, 120_000, tzinfo=UTC),
    batch=BatchPlace(batch_id=uuid4(), fingerprint="v1:batch", index=1, count=2),
)
_REASON = Reason(code="daily_count_exceeded", limit="200", usage="200", attempted="201")
_NOT_POSTED: dict[str, Any] = {"debit": None, "credit": None}

ENDS = {
    "completed": settled(instruction=_WHOLE, settled_at=datetime(2026, 1, 15, 12, 0, 1, 5, tzinfo=UTC)),
    "bare": settled(),
    "blocked": settled(status=Status.BLOCKED, screening=screening(Verdict.BLOCKED, reasons=(_REASON,)), **_NOT_POSTED),
    "failed": settled(
        status=Status.FAILED,
        failure_reason=FailureReason.INSUFFICIENT_FUNDS,
        seen=Sighting(balance_minor=3, account_seq=1),
        retry_count=2,
        **_NOT_POSTED,
    ),
}


def row_of(event: TransferSettled) -> Any:
    """The row of its end, not hidden."""
    return {**dict(zip(_COLUMNS, (column[0] for column in to_columns([event])), strict=True)), "is_deleted": False}


def from_row(event: TransferSettled) -> views.TransferView:
    return view_of(row_of(event))


def from_event(event: TransferSettled) -> views.TransferView:
    (received,) = read_items(open_header(seal([event])))
    assert isinstance(received, TransferSettled)
    return views.settled(received)


@pytest.mark.parametrize("event", ENDS.values(), ids=ENDS)
def test_the_answer_from_the_row_and_from_the_event_are_the_same_bytes(event: TransferSettled) -> None:
    row, told = from_row(event), from_event(event)
    assert bodies.outcome(row) == bodies.outcome(told)
    assert bodies.encode(bodies.transfer(row)) == bodies.encode(bodies.transfer(told))
    assert bodies.encode(bodies.transfer_item(0, row)) == bodies.encode(bodies.transfer_item(0, told))
    assert row == told


@pytest.mark.parametrize(
    ("status", "reason", "answered", "code"),
    [
        (Status.COMPLETED, None, 201, None),
        (Status.BLOCKED, None, 403, "transfer_blocked"),
        *[
            (Status.FAILED, reason, 404 if reason is FailureReason.ACCOUNT_NOT_FOUND else 422, reason.value)
            for reason in FailureReason
        ],
    ],
)
def test_each_end_has_its_status_and_code(
    status: Status, reason: FailureReason | None, answered: int, code: str | None
) -> None:
    view = views.settled(settled(status=status, failure_reason=reason))
    body = msgspec.json.decode(bodies.outcome(view))
    assert bodies.status_of(view) == answered
    assert body.get("code") == code
    if code is not None:
        assert (body["status"], body["transfer_id"]) == (answered, str(view.transfer_id))
        assert body["failure_reason"] == reason
        assert body["request_id"] == "req-1"


def test_a_blocked_transfer_tells_every_limit_it_exceeds() -> None:
    body = msgspec.json.decode(bodies.outcome(from_event(ENDS["blocked"])))
    assert body["reasons"] == [
        {"code": "daily_count_exceeded", "limit": "200", "usage": "200", "attempted": "201"},
    ]


def test_a_pending_transfer_is_answered_as_one() -> None:
    view = views.pending(_WHOLE)
    body = msgspec.json.decode(bodies.outcome(view))
    assert bodies.status_of(view) == 202
    assert (body["status"], body["settled_at"], body["updated_at"]) == ("pending", None, body["created_at"])


def test_amounts_are_decimal_strings_with_all_decimals_of_the_currency() -> None:
    for currency, text in (("USD", "10.00"), ("JPY", "1000"), ("BHD", "1.000")):
        view = views.pending(instruction(currency=currency, amount_minor=1_000))
        assert bodies.transfer(view).amount == text


def test_deleting_and_restoring_a_transfer_does_not_change_its_answer() -> None:
    """`updated_at` is when it ended; the row's own column is not looked at."""
    row = row_of(ENDS["completed"])
    before = bodies.outcome(view_of(row))
    row |= {"updated_at": NOON.replace(year=2027), "is_deleted": True}
    assert bodies.outcome(view_of(row)) == before
