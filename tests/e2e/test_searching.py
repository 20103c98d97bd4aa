"""What an operator looks up: transfers by whatever is known of them, and all that is known of one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bank import Bank
from tests.support.waiting import until

_TRANSFERS = "/admin/transfers"


class Past:
    """Ada's three transfers to Bob: completed under a key of hers, failed for want of funds, blocked."""

    def __init__(self, bank: Bank) -> None:
        self.admin = bank.operator()
        self.ada, self.bob = bank.customer("Ada"), bank.customer("Bob")
        self.source, self.to = bank.funded(self.ada), self.bob.open_account()
        self.key = f"rent-{uuid4()}"
        answers = [
            self.ada.transfer(self.source, self.to, "12.34", key=self.key),
            self.ada.transfer(self.source, self.to, "5000.00"),
            self.ada.transfer(self.source, self.to, "1000000.01"),
        ]
        assert [answer.status_code for answer in answers] == [201, 422, 403]
        self.completed = answers[0].json()["id"]
        self.failed, self.blocked = (answer.json()["transfer_id"] for answer in answers[1:])

    def found(self, **asked: str) -> list[str]:
        """The ids of what is found, newest first."""
        return [item["id"] for item in self.admin.get(_TRANSFERS, **asked)["items"]]

    def timeline(self, transfer_id: str) -> Any:
        return self.admin.get(f"{_TRANSFERS}/{transfer_id}/timeline")

    def audited(self, action: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.admin.get("/admin/audit-logs", user_id=self.admin.user["id"], action=action)[
            "items"
        ]
        return rows


@pytest.fixture(scope="module")
def past(bank: Bank) -> Past:
    return Past(bank)


def test_a_transfer_is_found_by_whatever_is_known_of_it(past: Past) -> None:
    everything = [past.blocked, past.failed, past.completed]
    assert past.found(account_id=past.to) == everything
    assert past.found(user_id=past.bob.user["id"]) == everything
    assert past.found(user_id=past.ada.user["id"])[:3] == everything
    assert past.found(id=past.failed) == [past.failed]
    assert past.found(idempotency_key=past.key) == [past.completed]
    assert past.found(account_id=past.source, status="failed") == [past.failed]
    assert past.found(account_id=past.to, currency="USD", min_amount="12.34", max_amount="5000") == everything[1:]
    now = datetime.now(UTC)
    assert past.found(account_id=past.to, start_date=f"{now + timedelta(days=2):%Y-%m-%d}") == []
    assert past.found(account_id=past.to, start_date=f"{now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}") == everything
    assert set(everything) <= set(past.found(limit="200"))


def test_what_is_found_tells_whose_it_is_and_why_it_was_refused(past: Past) -> None:
    page = past.admin.get(_TRANSFERS, account_id=past.to)
    assert (page["next_cursor"], page["searched_to"], page["unknown"]) == (None, None, {})
    blocked, failed, completed = page["items"]
    assert {item["owner_id"] for item in page["items"]} == {past.ada.user["id"]}
    assert (completed["caller_id"], completed["idempotency_key"]) == (past.ada.user["id"], past.key)
    assert (failed["status"], failed["failure_reason"]) == ("failed", "insufficient_funds")
    assert (blocked["status"], blocked["reasons"][0]["code"]) == ("blocked", "amount_above_maximum")


def test_pages_follow_each_other(past: Past) -> None:
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        page = past.admin.get(_TRANSFERS, account_id=past.to, limit="1", **more)
        found += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        more = {"cursor": page["next_cursor"]}
    assert found == [past.blocked, past.failed, past.completed]


def test_a_hidden_one_is_found_where_it_is_asked_for(bank: Bank, past: Past) -> None:
    hidden = past.ada.transfer(past.source, past.ada.open_account()).json()["id"]
    assert past.admin.call("DELETE", f"{_TRANSFERS}/{hidden}").status_code == 204
    assert past.found(id=hidden) == []
    [item] = past.admin.get(_TRANSFERS, id=hidden, include_deleted="true")["items"]
    assert item["is_deleted"] is True
    assert past.timeline(hidden)["transfer"]["is_deleted"] is True


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"id": "5"}, "id"),
        ({"status": "lost"}, "status"),
        ({"currency": "XXX"}, "currency"),
        ({"min_amount": "1.00"}, "min_amount"),
        ({"max_amount": "1.001", "currency": "USD"}, "max_amount"),
        ({"max_amount": "1e3", "currency": "USD"}, "max_amount"),
        ({"include_deleted": "maybe"}, "include_deleted"),
        ({"start_date": "2026-03-02", "end_date": "2026-03-01"}, "start_date"),
    ],
)
def test_what_no_transfer_can_be_is_refused(past: Past, query: dict[str, str], field: str) -> None:
    answer = past.admin.call("GET", _TRANSFERS, params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    # A person reads it beside the field.
    assert len(answer.json()["errors"][0]["message"]) < 100


def test_every_search_is_audited_with_what_was_asked(past: Past) -> None:
    past.found(idempotency_key=past.key, status="completed")

    def told() -> list[Any]:
        return [row["details"].get("filters") for row in past.audited("ADMIN")]

    wanted = {"idempotency_key": past.key, "status": "completed"}
    until(told, lambda found: wanted in found)


def test_the_whole_way_of_a_transfer_is_told_with_times_entries_verdict_and_audit(past: Past) -> None:
    found = until(lambda: past.timeline(past.completed), lambda body: not body["waits"])
    assert [hop["stage"] for hop in found["hops"]] == ["gateway", "fraud", "transfer", "ledger", "audit"]
    assert all(hop["after_s"] >= 0 for hop in found["hops"])
    assert (found["stuck_because"], found["dead_letters"], found["unknown"]) == (None, [], {})
    assert (found["verdict"]["verdict"], found["verdict"]["reasons"]) == ("approved", [])
    assert {(entry["direction"], entry["account_id"], entry["amount"]) for entry in found["entries"]} == {
        ("debit", past.source, "12.34"),
        ("credit", past.to, "12.34"),
    }
    assert {"TRANSFER", "FRAUD_CHECK"} <= {row["action"] for row in found["audit"]}
    assert found["transfer"]["idempotency_key"] == past.key


def test_a_refusal_is_told_with_what_it_rests_on(past: Past) -> None:
    blocked = until(lambda: past.timeline(past.blocked), lambda body: not body["waits"])
    [reason] = blocked["verdict"]["reasons"]
    assert (reason["code"], reason["limit"], reason["attempted"]) == (
        "amount_above_maximum",
        "1000000.00",
        "1000000.01",
    )
    assert blocked["entries"] == []
    failed = until(lambda: past.timeline(past.failed), lambda body: body["verdict"]["released_at"])
    ended = next(hop["detail"] for hop in failed["hops"] if hop["stage"] == "transfer")
    assert (ended["failure_reason"], ended["seen_balance"]) == ("insufficient_funds", "87.66")


def test_reading_a_timeline_is_an_access_and_so_is_failing_to(past: Past) -> None:
    past.timeline(past.completed)
    unknown = str(uuid4())
    answer = past.admin.call("GET", f"{_TRANSFERS}/{unknown}/timeline")
    assert (answer.status_code, answer.json()["code"]) == (404, "transfer_not_found")

    def told() -> set[tuple[str, str]]:
        return {(row["resource_id"], row["status"]) for row in past.audited("ACCOUNT_ACCESS")}

    until(told, lambda found: {(past.completed, "success"), (unknown, "blocked")} <= found)


def test_nobody_else_looks(bank: Bank, past: Past) -> None:
    for path in (_TRANSFERS, f"{_TRANSFERS}/{past.completed}/timeline"):
        answer = past.ada.call("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert bank.client.get(f"/api/v1{path}").status_code == 401


@pytest.fixture(scope="module")
def owned(bank: Bank, past: Past) -> dict[str, str]:
    """Accounts by what they are called here: Ada's, one of hers that is closed, one of an owner without a login."""
    reference = f"customer-{uuid4()}"
    order = {"owner_reference": reference, "name": "Books", "currency": "ISK", "opening_balance": "700"}
    answer = past.admin.call("POST", "/admin/accounts/batch", key=str(uuid4()), json={"accounts": [order]})
    assert answer.status_code == 200, answer.text
    closed = past.ada.open_account()
    assert past.ada.call("DELETE", f"/accounts/{closed}").status_code == 204
    return {
        "first": past.source,
        "closed": closed,
        "krona": past.ada.open_account("ISK"),
        "books": answer.json()["items"][0]["account"]["id"],
        "reference": reference,
        "email": past.ada.user["email"],
        "settlement": past.admin.get(_TRANSFERS, account_id=past.source)["items"][-1]["from_account_id"],
    }


def _accounts(past: Past, **asked: str) -> list[str]:
    return [item["id"] for item in past.admin.get("/admin/accounts", **asked)["items"]]


def test_accounts_are_found_by_whoever_owns_them_and_their_currency(past: Past, owned: dict[str, str]) -> None:
    ada = [owned["krona"], owned["first"]]
    assert [one for one in _accounts(past, owner_email=owned["email"].upper()) if one in ada] == ada
    assert _accounts(past, owner_email=owned["email"], currency="ISK") == [owned["krona"]]
    assert _accounts(past, owner_reference=owned["reference"]) == [owned["books"]]
    assert {owned["krona"], owned["books"]} <= set(_accounts(past, currency="ISK"))
    assert _accounts(past, id=owned["first"]) == [owned["first"]]
    for nobodys in (
        {"owner_email": "nobody@example.com"},
        {"owner_reference": owned["email"]},
        {"owner_email": owned["email"], "owner_reference": owned["reference"]},
        {"owner_email": owned["email"], "owner_id": past.bob.user["id"]},
        {"id": owned["first"], "currency": "ISK"},
        {"id": str(uuid4())},
    ):
        assert _accounts(past, **nobodys) == []


def test_a_found_account_tells_its_balance_and_how_its_owner_is_called(past: Past, owned: dict[str, str]) -> None:
    [books] = past.admin.get("/admin/accounts", owner_reference=owned["reference"])["items"]
    assert (books["balance"], books["owner_email"], books["owner_reference"]) == ("700", None, owned["reference"])
    [first] = past.admin.get("/admin/accounts", id=owned["first"])["items"]
    assert (first["owner_email"], first["owner_reference"]) == (owned["email"], None)


def test_closed_accounts_are_found_where_they_are_asked_for_and_settlement_accounts_by_id(
    past: Past, owned: dict[str, str]
) -> None:
    assert _accounts(past, id=owned["closed"]) == []
    assert _accounts(past, id=owned["closed"], include_deleted="true") == [owned["closed"]]
    assert owned["closed"] in _accounts(past, owner_email=owned["email"], include_deleted="true")
    assert owned["closed"] not in _accounts(past, owner_email=owned["email"])
    assert _accounts(past, id=owned["settlement"]) == [owned["settlement"]]
    assert owned["settlement"] not in _accounts(past, currency="USD", limit="200")


def test_pages_of_accounts_follow_each_other(past: Past, owned: dict[str, str]) -> None:
    whole = _accounts(past, owner_email=owned["email"], include_deleted="true")
    first = past.admin.get("/admin/accounts", owner_email=owned["email"], include_deleted="true", limit="1")
    second = past.admin.get(
        "/admin/accounts", owner_email=owned["email"], include_deleted="true", cursor=first["next_cursor"]
    )
    assert [item["id"] for item in (*first["items"], *second["items"])] == whole


@pytest.mark.parametrize("query", [{"owner_email": ""}, {"owner_reference": "x" * 256}, {"currency": "usd"}])
def test_what_no_account_can_be_is_refused(past: Past, query: dict[str, str]) -> None:
    answer = past.admin.call("GET", "/admin/accounts", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_the_trial_balance_is_even_by_currency_and_every_reading_is_audited(bank: Bank, past: Past) -> None:
    assert bank.verified(past.to)["status"] == "verified"
    found = until(lambda: past.admin.get("/admin/ledger/trial-balance"), lambda body: "USD" in body["currencies"])
    dollars = found["currencies"]["USD"]
    assert (found["status"], dollars["difference"], dollars["debits"]) == ("balanced", "0.00", dollars["credits"])
    assert (dollars["accounts"] >= 3, dollars["entries"] % 2) == (True, 0)
    assert found["newest_entry_at"] <= found["as_of"]

    def acts() -> set[str]:
        return {row["details"]["act"] for row in past.audited("ADMIN")}

    until(acts, lambda found: "read_trial_balance" in found)
