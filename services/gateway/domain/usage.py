"""How much of each limit a user has used, and when the oldest of it falls out of its window."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from services.gateway.domain.bodies import Moment, Money
from shared.money import exponent_of, to_text

_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_OFF = "off"
# The names under which fraud's instances tell their limits.
HOURLY_COUNT, DAILY_COUNT, DAILY_AMOUNT = "max_hourly_count", "max_daily_count", "max_daily_amount"
VERSION = "limits_version"

_Leaves = Annotated[Moment | None, Meta(description="When the oldest of it counts no more; null where nothing counts.")]


class CountUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Approved transfers in a window; `limit` is null where it is off, or not known."""

    limit: int | None
    used: int
    left: int | None
    oldest_leaves_at: _Leaves


class AmountUsage(msgspec.Struct, frozen=True, kw_only=True):
    """Their amount in one currency; that of a failed one no longer counts."""

    limit: Money | None
    used: Money
    left: Money | None
    oldest_leaves_at: _Leaves


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """A user's use of each limit, as fraud would count it for a transfer at this moment."""

    user_id: UUID
    at: Moment
    limits_version: Annotated[str | None, Meta(description="As it stands with each verdict.")]
    hour_count: CountUsage
    day_count: CountUsage
    day_amount: Annotated[dict[str, AmountUsage], Meta(description="By currency: those used, and those of accounts.")]
    unknown: Annotated[dict[str, str], Meta(description="What could not be found out, and why.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What one currency's approved transfers of the last day come to, in minor units."""

    currency: str
    hour_count: int
    hour_oldest: datetime | None
    day_count: int
    day_oldest: datetime | None
    held_minor: int
    held_oldest: datetime | None


def usage(
    user_id: UUID, at: datetime, used: Sequence[Used], currencies: Iterable[str], limits: Mapping[str, str]
) -> Usage:
    """The answer; `limits` as fraud tells them, empty where nobody told."""
    by_currency = {one.currency: one for one in used}
    return Usage(
        user_id=user_id,
        at=at,
        limits_version=limits.get(VERSION),
        hour_count=_count(
            limits.get(HOURLY_COUNT), sum(one.hour_count for one in used), (one.hour_oldest for one in used), _HOUR
        ),
        day_count=_count(
            limits.get(DAILY_COUNT), sum(one.day_count for one in used), (one.day_oldest for one in used), _DAY
        ),
        day_amount={
            currency: _amount(limits.get(DAILY_AMOUNT), currency, by_currency.get(currency))
            for currency in sorted({*by_currency, *currencies})
        },
        unknown={} if limits else {"limits": "No fraud worker tells its limits now."},
    )


def _count(text: str | None, used: int, oldest: Iterable[datetime | None], window: timedelta) -> CountUsage:
    limit = None if text is None or text == _OFF else int(text)
    left = None if limit is None else max(limit - used, 0)
    return CountUsage(limit=limit, used=used, left=left, oldest_leaves_at=_leaves(oldest, window))


def _amount(text: str | None, currency: str, used: Used | None) -> AmountUsage:
    limit_minor = None if text is None else limit_of(text, currency)
    used_minor = 0 if used is None else used.held_minor
    return AmountUsage(
        limit=None if limit_minor is None else to_text(limit_minor, currency),
        used=to_text(used_minor, currency),
        left=None if limit_minor is None else to_text(max(limit_minor - used_minor, 0), currency),
        oldest_leaves_at=_leaves([None if used is None else used.held_oldest], _DAY),
    )


def limit_of(text: str, currency: str) -> int | None:
    """A maximum in minor units of `currency`, from fraud's canonical words: `5000000,JPY=100000000`; None: off."""
    if text == _OFF:
        return None
    everywhere, *named = text.split(",")
    own = dict(entry.split("=") for entry in named)
    return int(Decimal(own.get(currency, everywhere)).scaleb(exponent_of(currency)).to_integral_value(ROUND_FLOOR))


def _leaves(oldest: Iterable[datetime | None], window: timedelta) -> datetime | None:
    known = [moment for moment in oldest if moment is not None]
    return min(known) + window if known else None
