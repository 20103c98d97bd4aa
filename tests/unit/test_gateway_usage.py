"""A user's use of the limits: the gateway reads fraud's words for them as fraud does, and adds up what fraud counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.fraud.domain import parse_amount_limit
from services.gateway.domain.usage import Usage, Used, limit_of, usage
from shared.money import EXPONENTS
from tests.support.builders import ALICE, NOON

LIMITS = {
    "max_hourly_count": "3",
    "max_daily_count": "4",
    "max_daily_amount": "1000,JPY=99.9",
    "limits_version": "v",
}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def used(currency: str = "USD", **changes: Any) -> Used:
    """Two transfers of the last hour and a third of today, of 1.00 each."""
    counted = {"hour_count": 2, "hour_oldest": NOON - HOUR / 2, "day_count": 3, "day_oldest": NOON - DAY / 2}
    held = {"held_minor": 300, "held_oldest": NOON - DAY / 2}
    return Used(currency=currency, **{**counted, **held, **changes})


def asked(*found: Used, limits: dict[str, str] = LIMITS, currencies: tuple[str, ...] = ()) -> Usage:
    return usage(ALICE, NOON, found, currencies, limits)


@pytest.mark.parametrize(
    "words", ["5000000", "5000000.5", "1,JPY=100000000", "USD=0.019,BHD=7.0009", "JPY=99.9", "0.001", "off"]
)
def test_a_limit_is_in_every_currency_what_fraud_makes_of_it(words: str) -> None:
    """Told in the canonical words in which fraud's instances report it."""
    limit = parse_amount_limit(words, default="5000000")
    told = "off" if limit is None else str(limit)
    for currency in EXPONENTS:
        assert limit_of(told, currency) == (None if limit is None else limit.of(currency)), currency


def test_counts_are_of_all_currencies_and_amounts_of_each() -> None:
    found = asked(used(), used("EUR", hour_count=0, hour_oldest=None, day_count=1, day_oldest=NOON - DAY / 3))
    assert (found.hour_count.limit, found.hour_count.used, found.hour_count.left) == (3, 2, 1)
    assert (found.day_count.limit, found.day_count.used, found.day_count.left) == (4, 4, 0)
    assert {code: (one.limit, one.used, one.left) for code, one in found.day_amount.items()} == {
        "EUR": ("1000.00", "3.00", "997.00"),
        "USD": ("1000.00", "3.00", "997.00"),
    }
    assert found.limits_version == "v"
    assert found.unknown == {}


def test_the_oldest_leaves_its_window_an_hour_or_a_day_after_it_was_decided() -> None:
    found = asked(used(), used("EUR", hour_oldest=NOON - HOUR / 4, day_oldest=NOON - DAY / 4))
    assert found.hour_count.oldest_leaves_at == NOON + HOUR / 2
    assert found.day_count.oldest_leaves_at == NOON + DAY / 2
    assert found.day_amount["EUR"].oldest_leaves_at == NOON + DAY / 2
    released = asked(used(held_minor=0, held_oldest=None)).day_amount["USD"]
    assert (released.used, released.oldest_leaves_at) == ("0.00", None)


def test_what_is_over_a_limit_that_was_lowered_leaves_nothing() -> None:
    found = asked(used(hour_count=9, held_minor=200_000))
    assert (found.hour_count.left, found.day_amount["USD"].left) == (0, "0.00")


def test_a_user_who_has_done_nothing_sees_the_limits_of_his_currencies() -> None:
    found = asked(currencies=("JPY", "USD"))
    assert (found.hour_count.used, found.hour_count.left, found.hour_count.oldest_leaves_at) == (0, 3, None)
    assert (found.day_amount["JPY"].limit, found.day_amount["JPY"].left) == ("99", "99")


def test_currencies_stand_in_order_whoever_names_them() -> None:
    found = asked(used("USD"), used("BHD"), currencies=("JPY", "EUR", "CHF", "GBP"))
    assert list(found.day_amount) == ["BHD", "CHF", "EUR", "GBP", "JPY", "USD"]


def test_a_limit_that_is_off_is_null_and_one_that_nobody_tells_is_said_to_be_unknown() -> None:
    off = dict.fromkeys(LIMITS, "off")
    for limits, unknown in ((off, set()), ({}, {"limits"})):
        found = asked(used(), limits=limits)
        assert (found.hour_count.limit, found.hour_count.left, found.hour_count.used) == (None, None, 2)
        assert (found.day_amount["USD"].limit, found.day_amount["USD"].left) == (None, None)
        assert set(found.unknown) == unknown
        assert set(found.unknown.values()) <= {"No fraud worker tells its limits now."}
    assert UUID(int=0xA11CE) == found.user_id
