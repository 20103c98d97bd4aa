"""The fraud checks as an operator sees them: what they came to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from tests.support.bank import Bank

_STATS = "/admin/fraud-stats"


def difference(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """What one answer has more than another; sums as decimals."""
    found = {name: after[name] - before[name] for name in ("total_checks", "approved", "blocked")}
    for name in ("approved_amount", "blocked_amount"):
        found[name] = {
            code: Decimal(amount) - Decimal(before[name].get(code, "0"))
            for code, amount in after[name].items()
            if amount != before[name].get(code)
        }
    by_reason = {code: n - before["by_reason"].get(code, 0) for code, n in after["by_reason"].items()}
    return {**found, "by_reason": {code: n for code, n in by_reason.items() if n}}


def test_every_check_is_counted_once_with_its_verdict_its_amount_and_its_reasons(bank: Bank) -> None:
    payer, payee = bank.customer(), bank.customer()
    source, to = bank.funded(payer, "1000.00"), payee.open_account()
    yen = payer.open_account("JPY")
    before = bank.admin.get(_STATS)
    for amount in ("10.00", "20.50", "1000000.01", "5000000.01", "5000.00"):
        payer.transfer(source, to, amount)
    replayed = payer.transfer(source, to, "1.00", key="the same")
    assert payer.transfer(source, to, "1.00", key="the same").content == replayed.content
    assert payer.transfer(source, to, "2.00", key="the same").status_code == 422
    assert bank.deposit(yen, "700", currency="JPY").status_code == 201
    after = bank.admin.get(_STATS)
    assert difference(after, before) == {
        "total_checks": 7,
        "approved": 5,
        "blocked": 2,
        "approved_amount": {"USD": Decimal("5031.50"), "JPY": Decimal(700)},
        "blocked_amount": {"USD": Decimal("6000000.02")},
        "by_reason": {"amount_above_maximum": 2, "daily_amount_exceeded": 1},
    }
    assert after["total_checks"] == after["approved"] + after["blocked"]
    assert after["block_rate"] == pytest.approx(after["blocked"] / after["total_checks"], abs=1e-6)
    assert after["approved_amount"]["JPY"].isdigit()


def test_days_add_up_and_bound_the_range(bank: Bank) -> None:
    now = datetime.now(UTC)
    today, tomorrow = f"{now:%Y-%m-%d}", f"{now + timedelta(days=1):%Y-%m-%d}"
    found = bank.admin.get(_STATS, start_date=today, end_date=today)
    assert [day["date"] for day in found["by_day"]] in ([today], [])
    for name in ("total_checks", "approved", "blocked"):
        assert sum(day[name] for day in found["by_day"]) == found[name]
    nothing = bank.admin.get(_STATS, start_date=tomorrow)
    assert nothing == {
        "total_checks": 0,
        "approved": 0,
        "blocked": 0,
        "block_rate": 0,
        "approved_amount": {},
        "blocked_amount": {},
        "by_reason": {},
        "by_day": [],
        "by_hour": [],
        "by_user": [],
    }


def test_a_short_range_is_told_by_hours_and_a_long_one_is_not(bank: Bank) -> None:
    bank.funded(bank.customer())
    now = datetime.now(UTC)
    found = bank.admin.get(_STATS, start_date=f"{now - timedelta(days=7):%Y-%m-%d}")
    assert found["by_hour"][-1]["at"] >= f"{now:%Y-%m-%dT%H:00:00}"
    for name in ("total_checks", "approved", "blocked"):
        assert sum(hour[name] for hour in found["by_hour"]) == found[name]
        assert sum(day[name] for day in found["by_day"]) == found[name]
    for query in ({}, {"start_date": f"{now - timedelta(days=9):%Y-%m-%d}"}):
        assert bank.admin.get(_STATS, **query)["by_hour"] is None


def test_who_was_blocked_most_often_stands_first_with_why(bank: Bank) -> None:
    often, once = bank.customer(), bank.customer()
    since = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    for customer, amounts in ((often, ("1000000.01", "5000000.01", "1000000.02")), (once, ("1000000.01",))):
        source, to = customer.open_account(), customer.open_account()
        for amount in amounts:
            assert customer.transfer(source, to, amount).status_code == 403
    found = {user["user_id"]: user for user in bank.admin.get(_STATS, start_date=since)["by_user"]}
    ids = [user_id for user_id in found if user_id in {often.user["id"], once.user["id"]}]
    assert ids == [often.user["id"], once.user["id"]]
    first = found[often.user["id"]]
    assert (first["blocked"], first["by_reason"]) == (3, {"amount_above_maximum": 3, "daily_amount_exceeded": 1})
    assert datetime.fromisoformat(since) <= datetime.fromisoformat(found[once.user["id"]]["last_blocked_at"])


@pytest.mark.parametrize(
    "query",
    [{"start_date": "today"}, {"start_date": "2026-03-02", "end_date": "2026-03-01"}, {"end_date": "2026-13-01"}],
)
def test_what_is_no_range_is_refused(bank: Bank, query: dict[str, str]) -> None:
    answer = bank.admin.call("GET", _STATS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_nobody_else_sees_them(bank: Bank) -> None:
    answer = bank.customer().call("GET", _STATS)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert bank.client.get(f"/api/v1{_STATS}").status_code == 401
