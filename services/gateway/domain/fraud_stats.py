"""What fraud's checks came to, over a range of days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Annotated

import msgspec
from msgspec import Meta

from services.gateway.domain.bodies import Money
from shared.money import to_text

APPROVED, BLOCKED = "approved", "blocked"

_RATE_DECIMALS = 6


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """How many transfers of one day, in one currency, got one verdict, and what they amounted to in minor units."""

    day: date
    verdict: str
    currency: str
    checks: int
    amount_minor: int


class DayStats(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC) on which something was checked."""

    date: date
    total_checks: int
    approved: int
    blocked: int


class FraudStats(msgspec.Struct, frozen=True, kw_only=True):
    """Deposits and withdrawals count as checks: an operator's are always approved. Currencies are never added up.

    A transfer that was blocked for several reasons counts in each.
    """

    total_checks: int
    approved: int
    blocked: int
    block_rate: Annotated[float, Meta(description="Blocked over all checks; 0 where there was none.", ge=0, le=1)]
    approved_amount: dict[str, Money]
    blocked_amount: dict[str, Money]
    by_reason: dict[str, int]
    by_day: list[DayStats]


def fraud_stats(checks: Iterable[Checks], by_reason: dict[str, int]) -> FraudStats:
    """The answer, from groups in any order."""
    counted: Counter[tuple[date, str]] = Counter()
    amounts: dict[str, Counter[str]] = {APPROVED: Counter(), BLOCKED: Counter()}
    for group in checks:
        counted[group.day, group.verdict] += group.checks
        amounts[group.verdict][group.currency] += group.amount_minor
    days = [_day(day, counted) for day in sorted({day for day, _ in counted})]
    approved, blocked = sum(day.approved for day in days), sum(day.blocked for day in days)
    total = approved + blocked
    return FraudStats(
        total_checks=total,
        approved=approved,
        blocked=blocked,
        block_rate=round(blocked / total, _RATE_DECIMALS) if total else 0.0,
        approved_amount=_amounts(amounts[APPROVED]),
        blocked_amount=_amounts(amounts[BLOCKED]),
        by_reason=dict(sorted(by_reason.items())),
        by_day=days,
    )


def _day(day: date, counted: Counter[tuple[date, str]]) -> DayStats:
    approved, blocked = counted[day, APPROVED], counted[day, BLOCKED]
    return DayStats(date=day, total_checks=approved + blocked, approved=approved, blocked=blocked)


def _amounts(minor: Counter[str]) -> dict[str, str]:
    return {code: to_text(amount, code) for code, amount in sorted(minor.items())}
