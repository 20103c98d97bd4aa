"""What fraud's checks came to, over a range of days."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.gateway.domain.bodies import Moment, Money
from shared.money import to_text

APPROVED, BLOCKED = "approved", "blocked"

_RATE_DECIMALS = 6


class Checks(msgspec.Struct, frozen=True, kw_only=True):
    """How many transfers of one day or hour, which begins at `at`, in one currency, got one verdict, and what they
    amounted to in minor units."""

    at: datetime
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


class HourStats(msgspec.Struct, frozen=True, kw_only=True):
    """One hour, from `at` on, in which something was checked."""

    at: Moment
    total_checks: int
    approved: int
    blocked: int


class UserStats(msgspec.Struct, frozen=True, kw_only=True):
    """One user, and how many of his transfers were blocked, why, and when last."""

    user_id: UUID
    blocked: int
    last_blocked_at: Moment
    by_reason: dict[str, int]


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
    by_hour: Annotated[
        list[HourStats] | None,
        Meta(description="Null unless a start is given, and the range is of eight days at most."),
    ]
    by_user: Annotated[list[UserStats], Meta(description="The twenty who were blocked most often.")]


def fraud_stats(
    checks: Iterable[Checks], by_reason: dict[str, int], by_user: Iterable[UserStats] = (), *, is_hourly: bool = False
) -> FraudStats:
    """The answer, from groups in any order; `is_hourly`: they are of hours."""
    counted: Counter[tuple[date, str]] = Counter()
    hourly: Counter[tuple[datetime, str]] = Counter()
    amounts: dict[str, Counter[str]] = {APPROVED: Counter(), BLOCKED: Counter()}
    for group in checks:
        counted[group.at.date(), group.verdict] += group.checks
        hourly[group.at, group.verdict] += group.checks
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
        by_hour=[_hour(at, hourly) for at in sorted({at for at, _ in hourly})] if is_hourly else None,
        by_user=[
            msgspec.structs.replace(user, by_reason=dict(sorted(user.by_reason.items())))
            for user in sorted(by_user, key=lambda user: (-user.blocked, user.user_id))
        ],
    )


def _hour(at: datetime, counted: Counter[tuple[datetime, str]]) -> HourStats:
    approved, blocked = counted[at, APPROVED], counted[at, BLOCKED]
    return HourStats(at=at, total_checks=approved + blocked, approved=approved, blocked=blocked)


def _day(day: date, counted: Counter[tuple[date, str]]) -> DayStats:
    approved, blocked = counted[day, APPROVED], counted[day, BLOCKED]
    return DayStats(date=day, total_checks=approved + blocked, approved=approved, blocked=blocked)


def _amounts(minor: Counter[str]) -> dict[str, str]:
    return {code: to_text(amount, code) for code, amount in sorted(minor.items())}
