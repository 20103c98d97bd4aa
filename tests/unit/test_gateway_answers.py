"""What clients get, to the byte: a change here is a change of the API, and of answers that were stored before it."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.domain import bodies, views
from services.gateway.errors import FieldError, Forbidden, Problem
from shared.contracts.fraud import Reason, Verdict
from shared.contracts.gateway import BatchPlace
from shared.contracts.transfer import AccountState, FailureReason, Status
from tests.support.builders import ALICE, CONTEXT, NOON, instruction, screening, settled

T, A, B = (UUID(int=number) for number in (1, 2, 3))
_ASKED = instruction(
    transfer_id=T, from_account_id=A, to_account_id=B, description="rent", metadata=msgspec.Raw(b'{"a":1.10}')
)
_BARE: dict[str, Any] = {
    "id": str(T),
    "kind": "transfer",
    "status": "pending",
    "from_account_id": str(A),
    "to_account_id": str(B),
    "amount": "10.00",
    "currency": "USD",
    "description": "rent",
    "metadata": {"a": "1.10"},
    "failure_reason": None,
    "reasons": [],
    "retry_count": 0,
    "created_at": "2026-01-15T12:00:00Z",
    "updated_at": "2026-01-15T12:00:00Z",
    "settled_at": None,
}


def read(raw: bytes) -> Any:
    """JSON with its order kept, and numbers as they are written."""
    return json.loads(raw, parse_float=str)


def same(raw: bytes, expected: dict[str, Any]) -> bool:
    """Also in the order of the fields."""
    found = read(raw)
    assert found == expected
    return list(found) == list(expected)


def test_a_pending_transfer_reads_so() -> None:
    assert same(bodies.outcome(views.pending(_ASKED)), _BARE)


def test_a_completed_transfer_reads_so() -> None:
    later = NOON.replace(minute=1)
    view = views.settled(settled(instruction=_ASKED, settled_at=later, retry_count=2))
    moment = "2026-01-15T12:01:00Z"
    ended = {"status": "completed", "retry_count": 2, "updated_at": moment, "settled_at": moment}
    assert same(bodies.outcome(view), {**_BARE, **ended})


_DETAILS = {
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


def test_every_failure_has_its_words() -> None:
    assert set(_DETAILS) == {reason.value for reason in FailureReason}


@pytest.mark.parametrize("reason", FailureReason)
def test_a_failed_transfer_reads_so(reason: FailureReason) -> None:
    view = views.settled(settled(instruction=_ASKED, status=Status.FAILED, failure_reason=reason))
    expected = {
        "type": f"urn:remit:problem:{reason.value}",
        "title": reason.value.replace("_", " ").capitalize(),
        "status": 404 if reason is FailureReason.ACCOUNT_NOT_FOUND else 422,
        "detail": _DETAILS[reason.value],
        "code": reason.value,
        "request_id": "req-1",
        "transfer_id": str(T),
        "failure_reason": reason.value,
    }
    assert same(bodies.outcome(view), expected)


def test_a_failure_of_a_kind_that_is_not_known_yet_is_told_all_the_same() -> None:
    """A newer worker may write one; and a row without any is our fault."""
    view = msgspec.structs.replace(views.pending(_ASKED), status=views.FAILED, failure_reason="lost_at_sea")
    assert read(bodies.outcome(view))["detail"] == "The transfer failed."
    nameless = msgspec.structs.replace(view, failure_reason=None)
    assert read(bodies.outcome(nameless))["code"] == "internal_error"


def test_a_blocked_transfer_reads_so() -> None:
    reason = Reason(code="daily_count_exceeded", limit="200", usage="200", attempted="201")
    verdict = screening(Verdict.BLOCKED, reasons=(reason,))
    view = views.settled(settled(instruction=_ASKED, status=Status.BLOCKED, screening=verdict))
    expected = {
        "type": "urn:remit:problem:transfer_blocked",
        "title": "Transfer blocked",
        "status": 403,
        "detail": "The transfer exceeds a limit.",
        "code": "transfer_blocked",
        "request_id": "req-1",
        "transfer_id": str(T),
        "failure_reason": None,
        "reasons": [{"code": "daily_count_exceeded", "limit": "200", "usage": "200", "attempted": "201"}],
    }
    assert same(bodies.outcome(view), expected)


@pytest.mark.parametrize(
    ("status", "code", "part"),
    [
        (Status.COMPLETED, 201, "transfer"),
        (Status.BLOCKED, 403, "problem"),
        (Status.FAILED, 422, "problem"),
    ],
)
def test_an_item_of_a_batch_has_its_place_its_status_and_what_the_call_alone_would_say(
    status: Status, code: int, part: str
) -> None:
    reason = FailureReason.ACCOUNT_CLOSED if status is Status.FAILED else None
    view = views.settled(settled(instruction=_ASKED, status=status, failure_reason=reason))
    item = read(bodies.encode(bodies.transfer_item(3, view)))
    assert item == {"index": 3, "status_code": code, part: read(bodies.outcome(view))}


def test_a_pending_item_of_a_batch_is_a_transfer_too() -> None:
    item = read(bodies.encode(bodies.transfer_item(0, views.pending(_ASKED))))
    assert item == {"index": 0, "status_code": 202, "transfer": _BARE}


@pytest.mark.parametrize("is_deleted", [False, True])
def test_an_account_reads_so_and_only_operators_are_told_of_its_deletion(is_deleted: bool) -> None:
    state = AccountState(
        account_id=A,
        owner_id=ALICE,
        name="Main",
        currency="JPY",
        balance_minor=1_000,
        account_seq=3,
        version=4,
        created_at=NOON,
        updated_at=NOON.replace(minute=1),
        is_deleted=is_deleted,
    )
    expected = {
        "id": str(A),
        "owner_id": str(ALICE),
        "name": "Main",
        "currency": "JPY",
        "balance": "1000",
        "account_seq": 3,
        "version": 4,
        "created_at": "2026-01-15T12:00:00Z",
        "updated_at": "2026-01-15T12:01:00Z",
    }
    view = views.account(state)
    assert same(bodies.encode(bodies.account(view)), expected)
    assert same(bodies.encode(bodies.account(view, tell_deletion=True)), {**expected, "is_deleted": is_deleted})


def test_an_entry_reads_so() -> None:
    view = views.EntryView(
        entry_id=B,
        transfer_id=T,
        account_id=A,
        account_seq=3,
        direction="debit",
        amount_minor=150,
        currency="USD",
        balance_before_minor=200,
        balance_after_minor=50,
        created_at=NOON,
    )
    expected = {
        "id": str(B),
        "transfer_id": str(T),
        "account_id": str(A),
        "account_seq": 3,
        "direction": "debit",
        "amount": "1.50",
        "currency": "USD",
        "balance_before": "2.00",
        "balance_after": "0.50",
        "created_at": "2026-01-15T12:00:00Z",
    }
    assert same(bodies.encode(bodies.entry(view)), expected)


def test_a_problem_tells_what_it_knows_and_leaves_out_the_rest() -> None:
    error: Problem = Forbidden("This call is for operators.")
    expected: dict[str, Any] = {
        "type": "urn:remit:problem:forbidden",
        "title": "Forbidden",
        "status": 403,
        "detail": "This call is for operators.",
        "code": "forbidden",
        "request_id": "req-9",
    }
    assert same(bodies.encode(bodies.problem(error, "req-9")), expected)
    error.errors = [FieldError(field="amount", message="is missing")]
    error.differing_fields = ["amount"]
    error.transfer_id = T
    more = {
        "errors": [{"field": "amount", "message": "is missing"}],
        "differing_fields": ["amount"],
        "transfer_id": str(T),
    }
    assert same(bodies.encode(bodies.problem(error, "req-9")), {**expected, **more})


def test_a_token_reads_so() -> None:
    body = bodies.TokenBody(access_token="abc", expires_in=900)
    assert same(bodies.encode(body), {"access_token": "abc", "expires_in": 900, "token_type": "bearer"})


def test_a_view_keeps_what_a_repetition_is_compared_with() -> None:
    place = BatchPlace(batch_id=T, fingerprint="v1:batch", index=0, count=1)
    pending = views.pending(instruction(transfer_id=T, batch=place, context=CONTEXT))
    assert (pending.batch_fingerprint, pending.request_id) == ("v1:batch", "req-1")
    assert views.pending(instruction()).batch_fingerprint is None
    assert views.metadata_of(None) is None


def test_the_states_of_a_transfer_are_the_words_that_clients_know() -> None:
    assert (views.PENDING, views.COMPLETED, views.FAILED, views.BLOCKED) == (
        "pending", "completed", "failed", "blocked",
    )  # fmt: skip
    assert {status.value for status in Status} == {views.COMPLETED, views.FAILED, views.BLOCKED}


def test_an_account_is_open_unless_it_is_said_to_be_deleted() -> None:
    view = views.AccountView(
        account_id=A, owner_id=None, name="Main", currency="USD", balance_minor=0, account_seq=0, version=1,
        created_at=NOON, updated_at=NOON,
    )  # fmt: skip
    assert bodies.account(view, tell_deletion=True).is_deleted is False
