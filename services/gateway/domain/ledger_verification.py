"""Whether the ledger explains an account: named checks over what ledger, account and transfer say of one position.

The ledger is read first, then the account and the posting at the ledger's position; so a ledger that is merely behind
is told from one that is wrong. Behind is `catching_up` only while every missing position is younger than the lag that
is allowed; older, it is a mismatch.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from shared.money import to_text

VERIFIED, CATCHING_UP, MISMATCH = "verified", "catching_up", "mismatch"


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the entries of one account say, up to the first gap (`position`). Amounts in minor units."""

    entries: int = 0
    position: int = 0
    top: int = 0
    debits_minor: int = 0
    credits_minor: int = 0
    balance_minor: int = 0
    # The first position whose balance does not continue the one before, or does not move by its amount.
    first_unchained: int | None = None
    first_unmoved: int | None = None
    # One, or more than one.
    currencies: int = 0
    # Whose entry stands at `position`.
    transfer_id: UUID | None = None


class Stand(msgspec.Struct, frozen=True, kw_only=True):
    """What the account's row says, read after the ledger."""

    account_id: UUID
    currency: str
    balance_minor: int
    account_seq: int


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """What the transfer at the ledger's position says of this account, read after the ledger."""

    account_seq: int
    balance_after_minor: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant by name, whether it holds, and the figures it rests on."""

    name: str
    ok: bool
    detail: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The answer for one account."""

    account_id: UUID
    status: str
    currency: str
    account_balance: str
    ledger_balance: str
    # The account's less the ledger's.
    difference: str
    account_seq: int
    ledger_position: int
    entries: int
    total_debits: str
    total_credits: str
    checks: Sequence[Check]


def verify(
    books: Books,
    stand: Stand,
    posted: Posted | None,
    missing_since: datetime | None,
    *,
    now: datetime,
    lag_max_s: float,
) -> Verification:
    """All checks on one account. `missing_since`: when the oldest posting beyond the ledger's position was settled."""
    behind = stand.account_seq > books.position
    checks = [
        _contiguous(books, stand, behind=behind),
        _chained(books),
        _totals(books, stand),
        _balance_matches(books, stand, posted, behind=behind),
        _missing_entry(books, stand, missing_since, now=now, lag_max_s=lag_max_s),
    ]
    agreed = CATCHING_UP if behind else VERIFIED
    status = agreed if all(check.ok for check in checks) else MISMATCH
    return Verification(
        account_id=stand.account_id,
        status=status,
        currency=stand.currency,
        account_balance=to_text(stand.balance_minor, stand.currency),
        ledger_balance=to_text(books.balance_minor, stand.currency),
        difference=to_text(stand.balance_minor - books.balance_minor, stand.currency),
        account_seq=stand.account_seq,
        ledger_position=books.position,
        entries=books.entries,
        total_debits=to_text(books.debits_minor, stand.currency),
        total_credits=to_text(books.credits_minor, stand.currency),
        checks=checks,
    )


def _contiguous(books: Books, stand: Stand, *, behind: bool) -> Check:
    # Entries come in any order: a gap below the account's position fills up; one beyond what was posted is wrong.
    ok = books.top <= stand.account_seq and (books.entries == books.position or behind)
    detail = f"{books.entries} entries, without a gap up to {books.position}, the highest at {books.top}"
    return Check(name="contiguous", ok=ok, detail=detail)


def _chained(books: Books) -> Check:
    broken = min((p for p in (books.first_unchained, books.first_unmoved) if p is not None), default=None)
    if broken is None:
        return Check(name="chained", ok=True, detail="each entry goes on from the balance of the one before")
    return Check(name="chained", ok=False, detail=f"position {broken} does not go on from the balance before it")


def _totals(books: Books, stand: Stand) -> Check:
    ok = books.credits_minor - books.debits_minor == books.balance_minor and books.currencies <= 1
    credited, debited = to_text(books.credits_minor, stand.currency), to_text(books.debits_minor, stand.currency)
    balance = to_text(books.balance_minor, stand.currency)
    return Check(name="totals", ok=ok, detail=f"credits {credited} less debits {debited}, balance {balance}")


def _balance_matches(books: Books, stand: Stand, posted: Posted | None, *, behind: bool) -> Check:
    ledger = to_text(books.balance_minor, stand.currency)
    if books.position == 0:
        ok = behind or stand.balance_minor == 0
        return Check(name="balance_matches", ok=ok, detail="the ledger has no entry yet" if behind else "both are zero")
    if posted is None or posted.account_seq != books.position:
        detail = f"no transfer posted position {books.position}, which the ledger has"
        return Check(name="balance_matches", ok=False, detail=detail)
    ok = posted.balance_after_minor == books.balance_minor
    after = to_text(posted.balance_after_minor, stand.currency)
    detail = f"at position {books.position} ledger {ledger}, posting {after}"
    if not behind:
        ok = ok and stand.balance_minor == books.balance_minor and stand.account_seq == books.position
        detail = f"{detail}, account {to_text(stand.balance_minor, stand.currency)}"
    return Check(name="balance_matches", ok=ok, detail=detail)


def _missing_entry(
    books: Books, stand: Stand, missing_since: datetime | None, *, now: datetime, lag_max_s: float
) -> Check:
    missing = stand.account_seq - books.position
    if missing <= 0:
        return Check(name="missing_entry", ok=True, detail="none is missing")
    if missing_since is None:
        # The account has moved, and no transfer says why.
        detail = f"account {stand.account_id}: nothing was posted from position {books.position + 1} on"
        return Check(name="missing_entry", ok=False, detail=detail)
    age_s = (now - missing_since).total_seconds()
    detail = (
        f"account {stand.account_id}: {missing} from position {books.position + 1} on, the oldest {age_s:.1f} s ago"
    )
    return Check(name="missing_entry", ok=age_s <= lag_max_s, detail=detail)
