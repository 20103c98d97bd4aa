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
