"""What a batch leaves in the windows that its later requests meet, and the names that clients are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.fraud.domain import Fate, Limits, Outcome, Past, Window, exceeded, parse_amount_limit, screen
from services.fraud.domain.screening import CODES
from shared.contracts.fraud import Verdict
from tests.support.builders import ALICE, instruction

OFF = Limits(min_amount=None, max_amount=None, max_daily_amount=None, max_hourly_count=None, max_daily_count=None)


@pytest.mark.parametrize("limits", [replace(OFF, max_hourly_count=3), replace(OFF, max_daily_count=3)])
def test_what_a_batch_approves_counts_within_the_hour_and_within_the_day(limits: Limits) -> None:
    past = Past(windows={ALICE: Window(hour_count=1, day_count=1)})
    outcomes = screen([instruction() for _ in range(4)], past, limits)
    assert [outcome.fate for outcome in outcomes] == [Fate.APPROVED, Fate.APPROVED, Fate.BLOCKED, Fate.BLOCKED]
    (reason,) = outcomes[-1].exceeded
    assert (reason.limit, reason.usage, reason.attempted) == ("3", "3", "4")


def test_a_user_without_a_past_begins_at_nothing() -> None:
    assert (Window().hour_count, Window().day_count, Window().day_minor) == (0, 0, {})
    window = Window()
    window.add(5, "USD")
    window.add(6, "USD")
    assert window == Window(2, 2, {"USD": 11})


def test_the_limits_are_told_by_names_that_never_change_and_in_one_order() -> None:
    """Clients read them, and so do the sums of what was blocked for which reason."""
    everything = replace(OFF, max_hourly_count=0, max_daily_count=0)
    told = [reason.code for reason in exceeded(1, "USD", Window(), everything)]
    assert told == list(CODES[3:])
    assert CODES == (
        "amount_below_minimum",
        "amount_above_maximum",
        "daily_amount_exceeded",
        "hourly_count_exceeded",
        "daily_count_exceeded",
    )


def test_a_fate_that_is_written_down_is_a_verdict() -> None:
    assert {fate.value for fate in Fate} == {verdict.value for verdict in Verdict} | {"repeated"}
    assert Outcome(Fate.APPROVED) == Outcome(Fate.APPROVED, exceeded=(), differing_fields=())


def test_the_version_of_the_same_limits_is_the_same_in_every_release() -> None:
    """It is stored with each verdict: to say which limits a verdict was passed under."""
    assert OFF.version == "81867147d8bf700b"
    assert replace(OFF, max_daily_count=1).version != OFF.version


def test_a_first_transfer_may_be_as_large_as_the_days_amount() -> None:
    """Nothing was paid in its currency before, whatever was in others."""
    limits = replace(OFF, max_daily_amount=parse_amount_limit("10", default="10"))
    for window in (Window(), Window(day_minor={"EUR": 900})):
        assert exceeded(1_000, "USD", window, limits) == ()
        (reason,) = exceeded(1_001, "USD", window, limits)
        assert (reason.usage, reason.attempted) == ("0.00", "10.01")
