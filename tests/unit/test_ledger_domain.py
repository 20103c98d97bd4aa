"""What the ledger books, as tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from services.ledger.domain import Booking, Entry, bookings_of, compare, entries_of, entry_id
from services.ledger.errors import PostingsInconsistent
from shared.contracts.transfer import FailureReason, Posting, Status, TransferSettled
from tests.support.builders import NOON, instruction, settled

A, B, TRANSFER = UUID(int=0xA), UUID(int=0xB), UUID(int=0x7)


def posting(account: UUID, seq: int, before_minor: int, after_minor: int) -> Posting:
    return Posting(
        account_id=account, account_seq=seq, balance_before_minor=before_minor, balance_after_minor=after_minor
    )


def completed(**changes: Any) -> TransferSettled:
    """10.00 USD from A (position 2, 15.00 before) to B (position 1, nothing before)."""
    asked = instruction(transfer_id=TRANSFER, from_account_id=A, to_account_id=B)
    fields: dict[str, Any] = {"debit": posting(A, 2, 1_500, 500), "credit": posting(B, 1, 0, 1_000)}
    return settled(**{"instruction": asked, **fields, **changes})


def booking(item: TransferSettled) -> Booking:
    [found], differences = bookings_of([item])
    assert not differences
    return found


def test_a_completed_transfer_is_a_debit_that_lowers_and_a_credit_that_raises() -> None:
    assert entries_of(completed()) == (
        Entry(TRANSFER, "debit", A, 2, 1_000, "USD", 1_500, 500, NOON),
        Entry(TRANSFER, "credit", B, 1, 1_000, "USD", 0, 1_000, NOON),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"status": Status.FAILED, "failure_reason": FailureReason.INSUFFICIENT_FUNDS, "debit": None, "credit": None},
        {"status": Status.BLOCKED, "debit": None, "credit": None},
    ],
)
def test_what_moved_nothing_has_no_entries(changes: dict[str, Any]) -> None:
    assert entries_of(completed(**changes)) is None
    assert bookings_of([completed(**changes)]) == ([], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"debit": None},
        {"credit": None},
        {"debit": posting(A, 2, 1_500, 501)},
        {"debit": posting(A, 2, 500, 1_500)},
        {"credit": posting(B, 1, 0, 999)},
        {"credit": posting(B, 1, 1_000, 0)},
    ],
)
def test_postings_that_do_not_explain_the_transfer_are_a_difference(changes: dict[str, Any]) -> None:
    item = completed(**changes)
    with pytest.raises(PostingsInconsistent):
        entries_of(item)
    bookings, [difference] = bookings_of([completed(), item, settled()])
    assert len(bookings) == 2, "those beside it are booked"
    assert difference.settled is item


def test_an_entry_has_the_same_id_wherever_it_is_booked() -> None:
    debit, credit = booking(completed()).entries
    assert entry_id(debit) == entry_id(booking(completed()).entries[0]) == UUID("0db3de2a-3c8a-511e-99aa-1c053d1db760")
    assert entry_id(debit) != entry_id(credit)


def test_what_is_not_booked_is_fresh_and_what_is_booked_is_skipped() -> None:
    first, second = booking(completed()), booking(settled())
    assert compare([first, second], []) == ([*first.entries, *second.entries], [])
    assert compare([first, second], first.entries) == (list(second.entries), [])
    assert compare([first, second], [*second.entries, *first.entries, *first.entries]) == ([], [])


def test_duplicates_within_a_batch_are_booked_once() -> None:
    first = booking(completed())
    assert compare([first, booking(completed()), first], []) == (list(first.entries), [])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"debit": posting(A, 3, 1_500, 500)}, "account_seq"),
        ({"debit": posting(A, 2, 2_500, 1_500)}, "balance_before_minor"),
        ({"credit": posting(B, 1, 5, 1_005)}, "balance_after_minor"),
        ({"settled_at": NOON + timedelta(microseconds=1)}, "created_at"),
        ({"instruction": instruction(transfer_id=uuid4(), from_account_id=A, to_account_id=B)}, "transfer_id"),
        ({"instruction": instruction(transfer_id=TRANSFER, currency="EUR")}, "currency"),
    ],
)
@pytest.mark.parametrize("in_one_batch", [True, False])
def test_what_contradicts_the_book_is_named_and_books_nothing(
    changes: dict[str, Any], named: str, in_one_batch: bool
) -> None:
    """The same transfer with another content, or another transfer at a position that is taken; also within a batch."""
    first, other = booking(completed()), booking(completed(**changes))
    known = () if in_one_batch else first.entries
    fresh, [difference] = compare([first, other], known)
    assert fresh == ([*first.entries] if in_one_batch else [])
    assert difference.settled is other.settled
    assert named in difference.detail


def test_a_side_without_its_other_side_is_a_difference() -> None:
    first = booking(completed())
    _, [difference] = compare([first], first.entries[:1])
    assert "the credit" in difference.detail
    assert f"{B} #1" in difference.detail


def test_a_message_read_from_the_wire_gives_the_same_entries() -> None:
    item = completed()
    read = msgspec.json.decode(msgspec.json.encode(item), type=TransferSettled)
    assert entries_of(read) == entries_of(item)
