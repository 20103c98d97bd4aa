"""The whole book, verified page by page: what was found so far, and what it came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.domain.ledger_verification import CATCHING_UP, MISMATCH, VERIFIED, Verification
from shared.money import to_text

MISMATCHES_MAX = 1_000


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one currency's entries, in major units."""

    debits: str
    credits: str


class BookVerification(msgspec.Struct, frozen=True, kw_only=True):
    """The whole book; at most a thousand mismatches are named."""

    status: str
    accounts: int
    entries: int
    mismatched: Annotated[int, Meta(description="How many accounts the ledger does not explain, named or not.")]
    catching_up: Annotated[int, Meta(description="How many accounts have moved on since the ledger was read.")]
    mismatches: list[Verification]
    totals: dict[str, Totals]


class BookProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a verification has come. `accounts_total` are those that there were when it began."""

    accounts: int
    accounts_total: int
    entries: int
    mismatched: int
    elapsed_s: float


class BookTally:
    """Counts what is found, in minor units. Currencies are never added up."""

    def __init__(self, accounts_total: int = 0) -> None:
        self._accounts_total = accounts_total
        self._entries = 0
        self._statuses: Counter[str] = Counter()
        self._mismatches: list[Verification] = []
        self._debits: Counter[str] = Counter()
        self._credits: Counter[str] = Counter()

    def add(self, page: Sequence[Verification]) -> None:
        """More accounts, each once."""
        for found in page:
            self._entries += found.entries
            self._statuses[found.status] += 1
            self._debits[found.currency] += _minor(found.total_debits)
            self._credits[found.currency] += _minor(found.total_credits)
            if found.status == MISMATCH and len(self._mismatches) < MISMATCHES_MAX:
                self._mismatches.append(found)

    def so_far(self, elapsed_s: float) -> BookProgress:
        """Where it is. Accounts that were opened on the way are verified too: the total grows with them."""
        accounts = self._statuses.total()
        return BookProgress(
            accounts=accounts,
            accounts_total=max(self._accounts_total, accounts),
            entries=self._entries,
            mismatched=self._statuses[MISMATCH],
            elapsed_s=round(elapsed_s, 3),
        )

    def found(self) -> BookVerification:
        """What it came to."""
        totals = {
            code: Totals(debits=to_text(self._debits[code], code), credits=to_text(self._credits[code], code))
            for code in sorted(self._debits)
            if self._debits[code] or self._credits[code]
        }
        return BookVerification(
            status=next((s for s in (MISMATCH, CATCHING_UP) if self._statuses[s]), VERIFIED),
            accounts=self._statuses.total(),
            entries=self._entries,
            mismatched=self._statuses[MISMATCH],
            catching_up=self._statuses[CATCHING_UP],
            mismatches=self._mismatches,
            totals=totals,
        )


def _minor(amount: str) -> int:
    return int(amount.replace(".", ""))
