"""Accounts of others, in an operator's hands; and a statement by its dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from shared.ids import settlement_account_id
from tests.support.bank import Bank
from tests.support.waiting import until


def _close(bank: Bank, account: str) -> tuple[int, str]:
    answer = bank.admin.call("DELETE", f"/admin/accounts/{account}")
    return answer.status_code, answer.json()["code"] if answer.content else ""


def test_an_operator_closes_an_empty_account_of_anybody_and_brings_it_back(bank: Bank) -> None:
    customer = bank.customer()
    account = customer.open_account()
    assert _close(bank, account) == (204, "")
    assert customer.call("GET", f"/accounts/{account}").status_code == 404
    # Once more finds nothing that is open.
    assert _close(bank, account) == (404, "account_not_found")
    assert bank.admin.call("POST", f"/admin/accounts/{account}/restore").status_code == 200
    assert customer.balance(account) == "0.00"


def test_an_account_with_money_is_not_closed_by_an_operator_either(bank: Bank) -> None:
    customer = bank.customer()
    account = bank.funded(customer)
    assert _close(bank, account) == (409, "account_not_empty")
    assert customer.balance(account) == "100.00"


def test_nobody_closes_what_belongs_to_nobody(bank: Bank) -> None:
    """Without a settlement account no money would come in or go out."""
    assert _close(bank, str(settlement_account_id("USD"))) == (404, "account_not_found")
    assert _close(bank, str(settlement_account_id("XAG"))) == (404, "account_not_found")
    assert _close(bank, str(uuid4())) == (404, "account_not_found")
    assert _close(bank, "no-id") == (404, "account_not_found")


def test_closing_is_audited_under_the_operators_name(bank: Bank) -> None:
    operator, account = bank.operator(), bank.customer().open_account()
    assert operator.call("DELETE", f"/admin/accounts/{account}").status_code == 204
    rows = until(lambda: bank.admin.get("/admin/audit-logs", resource_id=account, action="DELETE")["items"])
    assert [(row["user_id"], row["status"]) for row in rows] == [(operator.user["id"], "success")]


def test_a_statement_is_read_by_its_dates(bank: Bank) -> None:
    customer = bank.customer()
    account = bank.funded(customer, "3.00")
    for amount in ("1.00", "2.00"):
        assert bank.deposit(account, amount).status_code == 201
    bank.verified(account)
    path = f"/accounts/{account}/entries"
    newest, middle, oldest = customer.get(path)["items"]
    at = {entry["amount"]: entry["created_at"] for entry in (newest, middle, oldest)}
    # A start is inclusive, a time as end exclusive.
    assert [e["amount"] for e in customer.get(path, start_date=at["1.00"])["items"]] == ["2.00", "1.00"]
    assert [e["amount"] for e in customer.get(path, end_date=at["1.00"])["items"]] == ["3.00"]
    first = customer.get(path, start_date=at["1.00"], limit="1")
    assert [e["amount"] for e in first["items"]] == ["2.00"]
    rest = customer.get(path, start_date=at["1.00"], limit="1", cursor=first["next_cursor"])
    assert ([e["amount"] for e in rest["items"]], rest["next_cursor"]) == (["1.00"], None)
    today = datetime.now(UTC).date()
    assert len(customer.get(path, start_date=str(today - timedelta(days=1)), end_date=str(today))["items"]) == 3
    assert customer.get(path, end_date=str(today - timedelta(days=2)))["items"] == []
    wrong = customer.call("GET", path, params={"start_date": "yesterday"})
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "start_date")
