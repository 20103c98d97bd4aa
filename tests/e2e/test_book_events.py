"""Verifying the whole book, with what was found on the way."""

from __future__ import annotations

from tests.e2e.test_audit import settled
from tests.support.bank import Bank
from tests.support.events import events_of

_PATH = "/api/v1/admin/ledger/verify/events"


def test_it_tells_how_far_it_has_come_and_then_what_the_call_answers(bank: Bank) -> None:
    customer = bank.customer()
    bank.verified(bank.funded(customer))
    with events_of(bank.admin, bank.client, _PATH) as events:
        seen = list(events)
    names = [name for name, _ in seen]
    assert names == ["progress"] * (len(names) - 2) + ["result", "end"]
    progress = [body for name, body in seen if name == "progress"]
    assert [one["accounts"] for one in progress] == sorted(one["accounts"] for one in progress)
    assert all(one["accounts"] <= one["accounts_total"] for one in progress)
    result, once = seen[-2][1], bank.admin.get("/admin/ledger/verify")
    assert result["accounts"] == progress[-1]["accounts"] == progress[-1]["accounts_total"]
    assert result.keys() == once.keys()
    assert (result["accounts"], result["status"], result["mismatched"]) == (once["accounts"], "verified", 0)


def test_it_is_for_operators_and_audited_once_at_opening(bank: Bank) -> None:
    assert bank.client.get(_PATH).status_code == 401
    assert bank.customer().call("GET", "/admin/ledger/verify/events").json()["code"] == "forbidden"
    operator = bank.operator()
    with events_of(operator, bank.client, _PATH) as events:
        assert [name for name, _ in events][-1] == "end"
    settled(bank)
    rows = bank.admin.get("/admin/audit-logs", user_id=operator.user["id"], action="ADMIN")["items"]
    assert [row["details"] for row in rows] == [{"act": "watch_book_verification"}]


def test_head_begins_none(bank: Bank) -> None:
    answer = bank.admin.call("HEAD", "/admin/ledger/verify/events")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/event-stream")


def test_an_account_tells_its_currency_and_the_difference(bank: Bank) -> None:
    customer = bank.customer()
    account = bank.funded(customer, "12.34")
    found = bank.verified(account)
    said = {name: found[name] for name in ("currency", "account_balance", "ledger_balance", "difference")}
    assert said == {"currency": "USD", "account_balance": "12.34", "ledger_balance": "12.34", "difference": "0.00"}
