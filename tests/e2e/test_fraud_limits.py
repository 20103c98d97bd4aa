"""What counts against a customer's limits, as he sees it."""

from __future__ import annotations

import time
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session

_RELEASED_WITHIN_S = 15
_HOURLY = 50


def _codes(answer: httpx.Response) -> list[str]:
    return [reason["code"] for reason in answer.json().get("reasons", [])]


@pytest.fixture
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


def test_a_failed_transfer_gives_its_amount_back_and_keeps_its_count(alice: Session) -> None:
    empty, to = alice.open_account(), alice.open_account()
    # A day's whole amount, all of it approved, and none of it there to be paid.
    for _ in range(5):
        answer = alice.transfer(empty, to, "1000000.00")
        assert (answer.status_code, answer.json()["code"]) == (422, "insufficient_funds")
    deadline, counted = time.monotonic() + _RELEASED_WITHIN_S, 5
    while _codes(answer := alice.transfer(empty, to, "1000000.00")) == ["daily_amount_exceeded"]:
        assert time.monotonic() < deadline, "the amounts did not come back"
        time.sleep(0.02)
    assert (answer.status_code, answer.json()["code"]) == (422, "insufficient_funds")
    counted += 1
    item = {"from_account_id": empty, "to_account_id": to, "amount": "1.00", "currency": "USD"}
    rest = alice.batch([item] * (_HOURLY - counted), key=str(uuid4())).json()["items"]
    assert {one["problem"]["code"] for one in rest} == {"insufficient_funds"}
    last = alice.transfer(empty, to, "1.00")
    assert (last.status_code, _codes(last)) == (403, ["hourly_count_exceeded"])


def test_currencies_are_not_added_up(bank: Bank, alice: Session) -> None:
    """A day's whole amount in dollars leaves that in euros as it was."""
    source, to = bank.funded(alice, "5000001.00"), alice.open_account()
    euros, to_euros = alice.open_account("EUR"), alice.open_account("EUR")
    assert bank.deposit(euros, "1000000.00", currency="EUR").status_code == 201
    for _ in range(5):
        assert alice.transfer(source, to, "1000000.00").status_code == 201
    more = alice.transfer(source, to, "0.01")
    assert (more.status_code, _codes(more)) == (403, ["daily_amount_exceeded"])
    assert alice.transfer(euros, to_euros, "1000000.00", currency="EUR").status_code == 201


def test_an_operator_sees_what_a_user_has_used_and_when_it_comes_back(bank: Bank, alice: Session) -> None:
    usage = f"/admin/users/{alice.user['id']}/usage"
    source, to = bank.funded(alice), alice.open_account("EUR")
    before = bank.admin.get(usage)
    assert (before["hour_count"]["limit"], before["hour_count"]["left"]) == (_HOURLY, _HOURLY)
    assert {code: (one["used"], one["left"]) for code, one in before["day_amount"].items()} == {
        "EUR": ("0.00", "5000000.00"),
        "USD": ("0.00", "5000000.00"),
    }
    made = alice.transfer(source, alice.open_account(), "12.34").json()
    assert alice.transfer(source, to, "1000000.01").status_code == 403
    after = bank.admin.get(usage)
    assert (after["hour_count"]["used"], after["hour_count"]["left"]) == (1, _HOURLY - 1)
    assert (after["day_count"]["used"], after["day_amount"]["USD"]["left"]) == (1, "4999987.66")
    assert made["created_at"] < after["at"] < after["hour_count"]["oldest_leaves_at"]
    assert after["hour_count"]["oldest_leaves_at"] < after["day_count"]["oldest_leaves_at"]
    verdict = bank.admin.get(f"/admin/transfers/{made['id']}/timeline")["verdict"]
    assert verdict["limits_version"] == after["limits_version"]
    assert after["unknown"] == {}
    for user_id in (str(uuid4()), "no-id"):
        answer = bank.admin.call("GET", f"/admin/users/{user_id}/usage")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
