"""The five things to watch, as a monitoring system meets them: every fact counts once, where it is decided."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank, Session
from tests.support.metrics import Scrape, scrape
from tests.support.waiting import until

_WAIT_S = 20.0
# A verifier begins a round ten seconds after the last one, and rests while it reads what other tests have left.
_ROUND_S = 60.0
_ACTIONS = {
    "CREATE", "UPDATE", "DELETE", "RESTORE", "TRANSFER", "LOGIN", "LOGOUT", "FRAUD_CHECK", "ACCOUNT_ACCESS", "ADMIN",
}  # fmt: skip
_CALLS = "remit_idempotency_calls_total"


class Watcher:
    """Somebody who looks at all services' metrics."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def see(self, service: str) -> Scrape:
        """One service now."""
        return scrape(self._stack.service_url(service))

    def until(self, service: str, is_so: Callable[[Scrape], bool], *, within_s: float = _WAIT_S) -> Scrape:
        """One service once it says so."""
        return until(lambda: self.see(service), is_so, within_s=within_s)


@pytest.fixture(scope="module")
def watcher(stack: Stack) -> Watcher:
    return Watcher(stack)


@pytest.fixture(scope="module")
def payer(bank: Bank) -> Session:
    return bank.customer()


@pytest.fixture
def accounts(bank: Bank, payer: Session) -> tuple[str, str]:
    return bank.funded(payer, "1000.00"), payer.open_account()


_PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
_ROW = re.compile(r"^\| `(remit_\w+)` \|[^|]*\| (\w+) \|", re.MULTILINE)


@pytest.mark.parametrize("service", ["gateway", "fraud", "transfer", "ledger", "audit"])
def test_a_service_exposes_the_metrics_that_the_page_names_and_no_other(watcher: Watcher, service: str) -> None:
    named = {name for name, of in _ROW.findall(_PAGE.read_text(encoding="utf-8")) if of in {service, "all"}}
    assert {name for name in watcher.see(service).names if name.startswith("remit_")} == named


def test_the_fraud_detection_rate_is_blocked_over_all_verdicts(
    bank: Bank, watcher: Watcher, payer: Session, accounts: tuple[str, str]
) -> None:
    verdicts, before = "remit_fraud_verdicts_total", watcher.see("fraud")
    for amount in ("1.00", "2.00", "5000.00", "1000000.01", "6000000.00"):
        payer.transfer(*accounts, amount)
    replayed = [payer.transfer(*accounts, "1000000.01", key="blocked, twice").status_code for _ in range(2)]
    assert replayed == [403, 403]
    bank.deposit(accounts[0], "1.00")
    after = watcher.see("fraud")

    def more(policy: str, verdict: str) -> float:
        series = {"policy": policy, "verdict": verdict}
        return after.value(verdicts, **series) - before.value(verdicts, **series)

    assert {v: more("user", v) for v in ("approved", "blocked", "conflict")} == {
        "approved": 3,
        "blocked": 3,
        "conflict": 0,
    }
    assert (more("operator", "approved"), more("operator", "blocked")) == (1, 0)
    assert after.since(before, "remit_fraud_reasons_total", "reason") == {
        "amount_above_maximum": 3,
        "daily_amount_exceeded": 1,
    }


def test_the_failed_transfer_rate_is_failed_over_all_that_ended(
    watcher: Watcher, payer: Session, accounts: tuple[str, str]
) -> None:
    settled, before = "remit_transfers_settled_total", watcher.see("transfer")
    for amount in ("1.00", "2.00", "5000.00", "1000000.01"):
        payer.transfer(*accounts, amount)
    again = [payer.transfer(accounts[0], accounts[0], key="failed, twice").status_code for _ in range(2)]
    assert again == [422, 422]
    after = watcher.see("transfer")
    assert after.since(before, settled, "status") == {"completed": 2, "failed": 2, "blocked": 1}
    assert after.since(before, settled, "reason") == {"": 3, "insufficient_funds": 1, "same_account": 1}
    assert after.sum(settled, status="failed") - before.sum(settled, status="failed") == 2


def test_a_ledger_that_explains_everything_has_no_differences(watcher: Watcher, accounts: tuple[str, str]) -> None:
    ended = "remit_ledger_round_ended_timestamp_seconds"
    last = watcher.see("gateway").value(ended)
    seen = watcher.until("gateway", lambda seen: seen.value(ended) > last, within_s=_ROUND_S)
    assert seen.value("remit_ledger_differences") == 0
    assert seen.value("remit_ledger_verified_accounts_total") >= len(accounts)
    assert abs(time.time() - seen.value(ended)) < _ROUND_S


def test_audit_volume_is_counted_by_action(bank: Bank, watcher: Watcher) -> None:
    rows = "remit_audit_rows_total"

    def told(act: Callable[[], Any], action: str) -> Scrape:
        """After `act`, which is told last: all that was told before it is counted too."""
        before = watcher.see("audit").value(rows, action=action)
        act()
        return watcher.until("audit", lambda seen: seen.value(rows, action=action) > before)

    before = told(bank.customer, "LOGIN")
    customer = bank.customer()
    source = customer.open_account()
    bank.deposit(source, "10.00")
    customer.balance(source)
    for amount in ("1.00", "900.00"):
        customer.transfer(source, source, amount)
    expected = {"CREATE": 2, "LOGIN": 1, "ACCOUNT_ACCESS": 1, "FRAUD_CHECK": 3, "TRANSFER": 3}
    watcher.until("audit", lambda seen: seen.since(before, rows, "action") == expected)
    after = told(lambda: customer.call("POST", "/auth/logout"), "LOGOUT")
    assert after.since(before, rows, "action") == {**expected, "LOGOUT": 1}
    assert {action for action in _ACTIONS if after.value(rows, action=action) >= 0} == _ACTIONS


def _calls(bank: Bank, payer: Session, source: str, to: str) -> dict[str, tuple[Session, str, dict[str, Any], str]]:
    """Every operation that takes a key: who sends it, where, what, and the field of it that another call changes."""
    order = {"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD", "description": "a"}
    money = {"account_id": source, "amount": "1.00", "currency": "USD", "description": "a"}
    account = {"owner_reference": "metrics", "name": "Main", "currency": "USD", "opening_balance": "1.00"}
    return {
        "transfers": (payer, "/transfers", order, "description"),
        "transfers.batch": (payer, "/transfers/batch", {"transfers": [order]}, "description"),
        "deposits": (bank.admin, "/admin/deposits", money, "description"),
        "withdrawals": (bank.admin, "/admin/withdrawals", money, "description"),
        "accounts": (payer, "/accounts", {"name": "Main", "currency": "USD"}, "name"),
        "admin.transfers.batch": (bank.admin, "/admin/transfers/batch", {"transfers": [order]}, "description"),
        "admin.accounts.batch": (bank.admin, "/admin/accounts/batch", {"accounts": [account]}, "opening_balance"),
    }  # fmt: skip


_OPERATIONS = [
    "transfers", "transfers.batch", "deposits", "withdrawals", "accounts", "admin.transfers.batch",
    "admin.accounts.batch",
]  # fmt: skip


def _changed(body: dict[str, Any], field: str) -> dict[str, Any]:
    if field in body:
        return {**body, field: "3.00"}
    return {name: [_changed(item, field) for item in items] for name, items in body.items()}


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_claims_replays_and_reuse_are_told_apart_for_every_call_with_a_key(
    bank: Bank, watcher: Watcher, payer: Session, accounts: tuple[str, str], operation: str
) -> None:
    who, path, body, field = _calls(bank, payer, *accounts)[operation]
    before, key = watcher.see("gateway"), str(uuid4())
    first = who.call("POST", path, key=key, json=body)
    assert first.status_code in {200, 201}, first.text
    for _ in range(2):
        assert who.call("POST", path, key=key, json=body).headers["Idempotent-Replayed"] == "true"
    other = who.call("POST", path, key=key, json=_changed(body, field))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    invalid = who.call("POST", path, key=key, json={})
    assert invalid.json()["code"] == "validation_failed"
    after = watcher.see("gateway")
    assert after.since(before, _CALLS, "how") == {"claim": 1, "replay": 2, "reuse": 1}
    assert after.since(before, _CALLS, "operation") == {operation: 4}
    assert all(after.value(_CALLS, operation=operation, how=how) >= 0 for how in ("conflict", "resume", "unknown"))


@pytest.mark.parametrize("operation", _OPERATIONS)
def test_of_calls_at_once_under_one_key_as_many_are_conflicts_as_are_refused_in_progress(
    bank: Bank, watcher: Watcher, payer: Session, accounts: tuple[str, str], operation: str
) -> None:
    who, path, body, _ = _calls(bank, payer, *accounts)[operation]
    before, key, calls = watcher.see("gateway"), str(uuid4()), 12
    with ThreadPoolExecutor(calls) as pool:
        answers = list(pool.map(lambda _: who.call("POST", path, key=key, json=body), range(calls)))
    refused = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in refused} <= {"request_in_progress"}
    grown = watcher.see("gateway").since(before, _CALLS, "how")
    assert grown.get("conflict", 0) == len(refused)
    assert (grown["claim"], sum(grown.values())) == (1, calls)


def test_calls_without_a_key_are_no_idempotent_calls(watcher: Watcher, payer: Session) -> None:
    before = watcher.see("gateway")
    payer.open_account()
    assert watcher.see("gateway").since(before, _CALLS, "how") == {}


def test_an_item_whose_own_key_was_used_for_something_else_is_counted(
    bank: Bank, watcher: Watcher, accounts: tuple[str, str]
) -> None:
    reused, before = "remit_idempotency_reused_items_total", watcher.see("gateway")
    order = {"from_account_id": accounts[0], "to_account_id": accounts[1], "currency": "USD"}
    for amounts in (("1.00", "2.00"), ("1.00", "2.50")):
        transfers = [{**order, "amount": amount, "idempotency_key": f"item {n}"} for n, amount in enumerate(amounts)]
        assert bank.admin.call("POST", "/admin/transfers/batch", json={"transfers": transfers}).status_code == 200
    assert watcher.see("gateway").value(reused) - before.value(reused) == 1
