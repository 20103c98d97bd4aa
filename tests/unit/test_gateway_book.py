"""Counting the book: what was found so far, and what it came to."""

from __future__ import annotations

from uuid import UUID

from services.gateway.domain.book import MISMATCHES_MAX, BookProgress, BookTally, Totals
from services.gateway.domain.ledger_verification import CATCHING_UP, MISMATCH, VERIFIED, Verification


def _found(
    number: int, status: str = VERIFIED, *, currency: str = "USD", debited: str = "1.50", credited: str = "0.00"
) -> Verification:
    return Verification(
        account_id=UUID(int=number),
        status=status,
        currency=currency,
        account_balance="0.00",
        ledger_balance="0.00",
        difference="0.00",
        account_seq=2,
        ledger_position=2,
        entries=2,
        total_debits=debited,
        total_credits=credited,
        checks=[],
    )


def test_an_empty_book_is_verified() -> None:
    found = BookTally().found()
    assert (found.status, found.accounts, found.entries, found.totals) == (VERIFIED, 0, 0, {})
    assert BookTally().so_far(0.0).accounts_total == 0


def test_what_was_counted_is_told_on_the_way() -> None:
    tally = BookTally(accounts_total=3)
    assert tally.so_far(0.0) == BookProgress(accounts=0, accounts_total=3, entries=0, mismatched=0, elapsed_s=0.0)
    tally.add([_found(1), _found(2, MISMATCH)])
    assert tally.so_far(1.23456) == BookProgress(accounts=2, accounts_total=3, entries=4, mismatched=1, elapsed_s=1.235)


def test_accounts_that_are_opened_on_the_way_let_the_total_grow() -> None:
    """Never more than all of them have been verified."""
    tally = BookTally(accounts_total=1)
    tally.add([_found(1), _found(2)])
    assert tally.so_far(0.0).accounts_total == 2


def test_the_worst_account_makes_the_books_status() -> None:
    tally = BookTally()
    tally.add([_found(1)])
    assert tally.found().status == VERIFIED
    tally.add([_found(2, CATCHING_UP), _found(3, CATCHING_UP)])
    assert (tally.found().status, tally.found().catching_up) == (CATCHING_UP, 2)
    tally.add([_found(4, MISMATCH), _found(5)])
    assert (tally.found().status, tally.found().mismatched) == (MISMATCH, 1)
    assert [one.account_id.int for one in tally.found().mismatches] == [4]


def test_currencies_are_never_added_up() -> None:
    tally = BookTally()
    tally.add([_found(1, credited="2.50"), _found(2, currency="EUR"), _found(3, credited="0.75")])
    assert list(tally.found().totals.items()) == [
        ("EUR", Totals(debits="1.50", credits="0.00")),
        ("USD", Totals(debits="3.00", credits="3.25")),
    ]


def test_a_currency_that_nothing_moved_has_no_sums() -> None:
    tally = BookTally()
    tally.add([_found(1, currency="EUR", debited="0.00"), _found(2)])
    assert list(tally.found().totals) == ["USD"]


def test_more_mismatches_than_are_named_are_counted() -> None:
    assert MISMATCHES_MAX == 1_000
    tally = BookTally()
    tally.add([_found(number, MISMATCH) for number in range(MISMATCHES_MAX + 5)])
    found = tally.found()
    assert (len(found.mismatches), found.mismatched) == (MISMATCHES_MAX, MISMATCHES_MAX + 5)
