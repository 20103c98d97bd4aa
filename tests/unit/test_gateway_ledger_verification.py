"""When the ledger explains an account, when it is behind, and when it is wrong: as a table."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from services.gateway.domain.ledger_verification import (
    CATCHING_UP,
    MISMATCH,
    VERIFIED,
    Books,
    Posted,
    Stand,
    verify,
)
from tests.support.builders import NOON

ACCOUNT = UUID(int=7)
BOOKS = Books(
    entries=3, position=3, top=3, debits_minor=500, credits_minor=2_000, balance_minor=1_500, currencies=1,
    transfer_id=UUID(int=3),
)  # fmt: skip
STAND = Stand(account_id=ACCOUNT, currency="USD", balance_minor=1_500, account_seq=3)
POSTED = Posted(account_seq=3, balance_after_minor=1_500)
JUST_NOW, LONG_AGO = NOON - timedelta(seconds=59), NOON - timedelta(seconds=61)


def of(what: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(what, **changes)


AHEAD = of(STAND, balance_minor=1_400, account_seq=4)
EMPTY = of(STAND, balance_minor=0, account_seq=0)

CASES: dict[str, tuple[Books, Stand, Posted | None, datetime | None, str, set[str]]] = {
    "all agree": (BOOKS, STAND, POSTED, None, VERIFIED, set()),
    "nothing has moved it yet": (Books(), EMPTY, None, None, VERIFIED, set()),
    "behind for a moment": (BOOKS, AHEAD, POSTED, JUST_NOW, CATCHING_UP, set()),
    "the first entry is on its way": (Books(), AHEAD, None, JUST_NOW, CATCHING_UP, set()),
    "a gap that fills up": (of(BOOKS, entries=4, top=5), of(AHEAD, account_seq=5), POSTED, JUST_NOW, CATCHING_UP,
                            set()),
    "behind for too long": (BOOKS, AHEAD, POSTED, LONG_AGO, MISMATCH, {"missing_entry"}),
    "moved, and no transfer says why": (BOOKS, AHEAD, POSTED, None, MISMATCH, {"missing_entry"}),
    "an entry beyond what was posted": (of(BOOKS, entries=4, position=4, top=4), STAND, None, None, MISMATCH,
                                        {"contiguous", "balance_matches"}),
    "an entry beyond a gap": (of(BOOKS, entries=4, top=9), STAND, POSTED, None, MISMATCH, {"contiguous"}),
    "a balance that does not go on": (of(BOOKS, first_unchained=2), STAND, POSTED, None, MISMATCH, {"chained"}),
    "an entry that moves by another amount": (of(BOOKS, first_unmoved=2), STAND, POSTED, None, MISMATCH, {"chained"}),
    "totals that do not add up": (of(BOOKS, debits_minor=501), STAND, POSTED, None, MISMATCH, {"totals"}),
    "two currencies": (of(BOOKS, currencies=2), STAND, POSTED, None, MISMATCH, {"totals"}),
    "the account says more": (BOOKS, of(STAND, balance_minor=1_501), POSTED, None, MISMATCH, {"balance_matches"}),
    "the posting says more": (BOOKS, STAND, of(POSTED, balance_after_minor=1_501), None, MISMATCH, {"balance_matches"}),
    "behind, and the posting says more": (BOOKS, AHEAD, of(POSTED, balance_after_minor=9), JUST_NOW, MISMATCH,
                                          {"balance_matches"}),
    "an entry without a transfer": (BOOKS, STAND, None, None, MISMATCH, {"balance_matches"}),
    "a balance without an entry": (Books(), of(EMPTY, balance_minor=5), None, None, MISMATCH, {"balance_matches"}),
}  # fmt: skip


@pytest.mark.parametrize(("books", "stand", "posted", "since", "status", "broken"), CASES.values(), ids=CASES)
def test_the_checks_that_fail_are_the_ones_that_should(
    books: Books, stand: Stand, posted: Posted | None, since: datetime | None, status: str, broken: set[str]
) -> None:
    found = verify(books, stand, posted, since, now=NOON, lag_max_s=60)
    assert found.status == status
    assert {check.name for check in found.checks if not check.ok} == broken


def test_a_missing_entry_names_account_and_position() -> None:
    found = verify(BOOKS, AHEAD, POSTED, LONG_AGO, now=NOON, lag_max_s=60)
    (check,) = [check for check in found.checks if check.name == "missing_entry"]
    assert str(ACCOUNT) in check.detail
    assert "position 4" in check.detail


def test_the_figures_are_in_major_units() -> None:
    found = verify(BOOKS, STAND, POSTED, None, now=NOON, lag_max_s=60)
    assert (found.account_balance, found.ledger_balance, found.total_debits, found.total_credits) == (
        "15.00", "15.00", "5.00", "20.00",
    )  # fmt: skip


def told(books: Books, stand: Stand, posted: Posted | None, since: datetime | None = None) -> dict[str, str]:
    found = verify(books, stand, posted, since, now=NOON, lag_max_s=60)
    return {check.name: check.detail for check in found.checks}


def test_the_difference_is_the_accounts_less_the_ledgers() -> None:
    less = verify(BOOKS, AHEAD, POSTED, JUST_NOW, now=NOON, lag_max_s=60)
    same = verify(BOOKS, STAND, POSTED, None, now=NOON, lag_max_s=60)
    assert (less.difference, same.difference, less.currency) == ("-1.00", "0.00", "USD")


def test_each_check_tells_the_figures_it_rests_on() -> None:
    assert told(BOOKS, STAND, POSTED) == {
        "contiguous": "3 entries, without a gap up to 3, the highest at 3",
        "chained": "each entry goes on from the balance of the one before",
        "totals": "credits 20.00 less debits 5.00, balance 15.00",
        "balance_matches": "at position 3 ledger 15.00, posting 15.00, account 15.00",
        "missing_entry": "none is missing",
    }


@pytest.mark.parametrize(
    ("books", "stand", "posted", "since", "check", "detail"),
    [
        (Books(), EMPTY, None, None, "balance_matches", "both are zero"),
        (Books(), AHEAD, None, JUST_NOW, "balance_matches", "the ledger has no entry yet"),
        (BOOKS, AHEAD, POSTED, JUST_NOW, "balance_matches", "at position 3 ledger 15.00, posting 15.00"),
        (BOOKS, STAND, of(POSTED, account_seq=2), None, "balance_matches",
         "no transfer posted position 3, which the ledger has"),
        (of(BOOKS, first_unchained=3, first_unmoved=2), STAND, POSTED, None, "chained",
         "position 2 does not go on from the balance before it"),
        (of(BOOKS, first_unchained=1), STAND, POSTED, None, "chained",
         "position 1 does not go on from the balance before it"),
        (BOOKS, AHEAD, POSTED, NOON - timedelta(seconds=12.34), "missing_entry",
         f"account {ACCOUNT}: 1 from position 4 on, the oldest 12.3 s ago"),
        (BOOKS, AHEAD, POSTED, None, "missing_entry", f"account {ACCOUNT}: nothing was posted from position 4 on"),
    ],
)  # fmt: skip
def test_a_check_tells_what_it_met(
    books: Books, stand: Stand, posted: Posted | None, since: datetime | None, check: str, detail: str
) -> None:
    assert told(books, stand, posted, since)[check] == detail


def test_behind_is_excused_up_to_the_lag_itself() -> None:
    for age_s, status in ((60, CATCHING_UP), (60.001, MISMATCH)):
        since = NOON - timedelta(seconds=age_s)
        assert verify(BOOKS, AHEAD, POSTED, since, now=NOON, lag_max_s=60).status == status


def test_the_answer_names_what_was_compared() -> None:
    found = verify(BOOKS, AHEAD, POSTED, JUST_NOW, now=NOON, lag_max_s=60)
    compared = (found.account_id, found.account_seq, found.ledger_position, found.entries)
    assert compared == (ACCOUNT, 4, 3, 3)
    assert Books() == Books(
        entries=0, position=0, top=0, debits_minor=0, credits_minor=0, balance_minor=0, first_unchained=None,
        first_unmoved=None, currencies=0, transfer_id=None,
    )  # fmt: skip


def test_the_statuses_are_the_words_that_clients_know() -> None:
    assert (VERIFIED, CATCHING_UP, MISMATCH) == ("verified", "catching_up", "mismatch")


def test_a_ledger_ahead_of_the_account_does_not_match_it() -> None:
    """Even where both balances happen to be the same."""
    behind_the_ledger = of(STAND, account_seq=2)
    found = verify(BOOKS, behind_the_ledger, POSTED, None, now=NOON, lag_max_s=60)
    assert {check.name for check in found.checks if not check.ok} == {"contiguous", "balance_matches"}
