"""The trial balance: by currency what all entries come to, on either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.domain.bodies import Moment, Money
from shared.money import to_text

BALANCED, UNBALANCED = "balanced", "unbalanced"


class CurrencyBalance(msgspec.Struct, frozen=True, kw_only=True):
    """One currency. `difference` is debits less credits; `accounts` are those that have an entry."""

    debits: Money
    credits: Money
    difference: Money
    accounts: int
    entries: int


class TrialBalance(msgspec.Struct, frozen=True, kw_only=True):
    """All entries that were booked at `as_of`, in one reading. Currencies are never added up."""

    status: Annotated[str, Meta(extra_json_schema={"enum": [BALANCED, UNBALANCED]})]
    as_of: Annotated[Moment, Meta(description="When the reading began, by the ledger's clock: now, or shortly ago.")]
    newest_entry_at: Annotated[Moment | None, Meta(description="When the newest of them was booked.")]
    took_s: Annotated[float, Meta(description="How long it took to add them up, in seconds.")]
    currencies: dict[str, CurrencyBalance]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """One currency's entries, in minor units."""

    currency: str
    debits_minor: int
    credits_minor: int
    accounts: int
    entries: int
    newest_at: datetime


def trial_balance(sums: Sequence[Sums], *, as_of: datetime, took_s: float) -> TrialBalance:
    """The answer."""
    is_balanced = all(one.debits_minor == one.credits_minor for one in sums)
    return TrialBalance(
        status=BALANCED if is_balanced else UNBALANCED,
        as_of=as_of,
        newest_entry_at=max((one.newest_at for one in sums), default=None),
        took_s=round(took_s, 3),
        currencies={one.currency: _line(one) for one in sums},
    )


def _line(sums: Sums) -> CurrencyBalance:
    return CurrencyBalance(
        debits=to_text(sums.debits_minor, sums.currency),
        credits=to_text(sums.credits_minor, sums.currency),
        difference=to_text(sums.debits_minor - sums.credits_minor, sums.currency),
        accounts=sums.accounts,
        entries=sums.entries,
    )
