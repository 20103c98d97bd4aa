"""A transfer all the way, as a client sees it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bank import Bank, Session


@pytest.fixture(scope="session")
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


@pytest.fixture(scope="session")
def bob(bank: Bank) -> Session:
    return bank.customer("Bob")


def test_money_moves_and_every_stage_tells_of_it(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice, "100.00"), bob.open_account()
    answer = alice.transfer(source, to, "12.34", description="rent", metadata={"b": 1, "a": [True, None]})
    assert answer.status_code == 201, answer.text
    transfer = answer.json()
    assert answer.headers["Location"] == f"/api/v1/transfers/{transfer['id']}"
    assert (transfer["status"], transfer["amount"], transfer["kind"]) == ("completed", "12.34", "transfer")
    assert transfer["metadata"] == {"a": [True, None], "b": 1}
    assert alice.get(f"/transfers/{transfer['id']}") == transfer
    assert (alice.balance(source), bob.balance(to)) == ("87.66", "12.34")
    for account in (source, to):
        assert bank.verified(account)["status"] == "verified"
    stages = _all_stages(alice, transfer["id"])
    assert stages == ["gateway", "fraud", "transfer", "ledger", "audit"]


def _all_stages(session: Session, transfer_id: str) -> list[str]:
    deadline = time.monotonic() + 15
    while True:
        items = session.get(f"/transfers/{transfer_id}/timeline")["items"]
        stages = list(dict.fromkeys(item["stage"] for item in items))
        if len(stages) == 5 or time.monotonic() > deadline:
            return stages
        time.sleep(0.05)


def test_the_statement_explains_the_balance(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice, "10.00"), bob.open_account()
    for amount in ("1.00", "2.00", "3.00"):
        assert alice.transfer(source, to, amount).status_code == 201
    bank.verified(source)
    first = alice.get(f"/accounts/{source}/entries", limit="3")
    rest = alice.get(f"/accounts/{source}/entries", limit="3", cursor=first["next_cursor"])
    entries = first["items"] + rest["items"]
    assert [entry["account_seq"] for entry in entries] == [4, 3, 2, 1]
    assert [entry["balance_after"] for entry in entries] == ["4.00", "7.00", "9.00", "10.00"]
    assert [entry["direction"] for entry in entries] == ["debit", "debit", "debit", "credit"]
    assert rest["next_cursor"] is None


def test_a_replay_gives_the_same_bytes_and_pays_nothing(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()
    key = str(uuid4())
    first = alice.transfer(source, to, "5.00", key=key)
    again = alice.transfer(source, to, "5.00", key=f'"{key}"')
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert bob.balance(to) == "5.00"


def test_a_key_with_another_payload_is_refused_and_the_fields_are_named(
    bank: Bank, alice: Session, bob: Session
) -> None:
    source, to = bank.funded(alice), bob.open_account()
    key = str(uuid4())
    assert alice.transfer(source, to, "5.00", key=key).status_code == 201
    answer = alice.transfer(source, to, "6.00", key=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert "amount" in answer.text
    assert bob.balance(to) == "5.00"


def test_a_key_belongs_to_its_caller(bank: Bank, alice: Session, bob: Session) -> None:
    source, other = bank.funded(alice), bank.funded(bob)
    key = str(uuid4())
    assert alice.transfer(source, other, "5.00", key=key).status_code == 201
    assert bob.transfer(other, source, "7.00", key=key).status_code == 201
    assert bank.verified(source)["account_balance"] == "102.00"


def test_the_same_call_many_times_at_once_pays_once(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()
    key = str(uuid4())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: alice.transfer(source, to, "5.00", key=key), range(32)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    bodies = {answer.content for answer in answers if answer.status_code == 201}
    assert len(bodies) == 1
    assert all(a.json()["code"] == "request_in_progress" for a in answers if a.status_code == 409)
    assert bob.balance(to) == "5.00"


@pytest.mark.parametrize(
    ("amount", "status", "code"), [("100.01", 422, "insufficient_funds"), ("1000000.01", 403, "transfer_blocked")]
)
def test_a_decided_refusal_names_its_transfer(
    bank: Bank, alice: Session, bob: Session, amount: str, status: int, code: str
) -> None:
    source, to = bank.funded(alice), bob.open_account()
    answer = alice.transfer(source, to, amount)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert alice.get(f"/transfers/{problem['transfer_id']}")["status"] in {"failed", "blocked"}
    assert (alice.balance(source), bob.balance(to)) == ("100.00", "0.00")


def test_anothers_account_is_one_that_does_not_exist(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(bob), alice.open_account()
    stolen = alice.transfer(source, to)
    missing = alice.transfer(str(uuid4()), to)
    assert (stolen.status_code, stolen.json()["code"]) == (404, "account_not_found")
    assert (missing.status_code, missing.json()["code"]) == (404, "account_not_found")
    read_stolen, read_missing = alice.call("GET", f"/accounts/{source}"), alice.call("GET", f"/accounts/{uuid4()}")
    assert _shape(read_stolen.json()) == _shape(read_missing.json())
    assert bob.balance(source) == "100.00"


def _shape(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in {"request_id", "instance"}}


def test_respond_async_is_accepted_at_once_and_ends(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()
    answer = alice.transfer(source, to, headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["Retry-After"]
    deadline = time.monotonic() + 15
    while (found := alice.get(f"/transfers/{answer.json()['id']}"))["status"] == "pending":
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    assert found["status"] == "completed"


def test_a_batch_is_answered_in_order_and_each_item_alone(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()

    def item(amount: str, destination: str = to) -> dict[str, str]:
        return {"from_account_id": source, "to_account_id": destination, "amount": amount, "currency": "USD"}

    body = [item("10.00"), item("1000.00"), item("1.00", str(uuid4())), item("90.00"), item("0.01")]
    key = str(uuid4())
    answer = alice.batch(body, key=key)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [one["index"] for one in items] == [0, 1, 2, 3, 4]
    assert [one["status_code"] for one in items] == [201, 422, 422, 201, 422]
    assert [one["problem"]["code"] for one in items if "problem" in one] == [
        "insufficient_funds",
        "destination_not_found",
        "insufficient_funds",
    ]
    again = alice.batch(body, key=key)
    assert again.content == answer.content
    assert alice.batch(body[:2], key=key).status_code == 422
    assert bob.balance(to) == "100.00"


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_outside_its_bounds_is_refused_whole(bank: Bank, alice: Session, count: int) -> None:
    account = str(uuid4())
    one = {"from_account_id": account, "to_account_id": account, "amount": "1.00", "currency": "USD"}
    answer = alice.batch([one] * count)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


def test_a_withdrawal_takes_money_out_and_the_book_still_adds_up(bank: Bank, alice: Session) -> None:
    account = bank.funded(alice, "100.00")
    body = {"account_id": account, "amount": "40.00", "currency": "USD"}
    answer = bank.admin.call("POST", "/admin/withdrawals", key=str(uuid4()), json=body)
    assert answer.status_code == 201, answer.text
    assert alice.balance(account) == "60.00"
    assert bank.verified(account)["status"] == "verified"


def test_logout_ends_the_token_at_once(bank: Bank) -> None:
    customer = bank.customer()
    assert customer.call("GET", "/auth/me").status_code == 200
    assert customer.call("POST", "/auth/logout").status_code == 204
    answer = customer.call("GET", "/auth/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


def test_an_account_is_opened_once_under_its_key(bank: Bank, alice: Session) -> None:
    key, body = str(uuid4()), {"name": "Savings", "currency": "EUR"}
    first = alice.call("POST", "/accounts", key=key, json=body)
    again = alice.call("POST", "/accounts", key=key, json=body)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    other = alice.call("POST", "/accounts", key=key, json={**body, "currency": "USD"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_an_account_with_money_cannot_be_closed_and_an_empty_one_disappears(bank: Bank, alice: Session) -> None:
    funded, empty = bank.funded(alice), alice.open_account()
    answer = alice.call("DELETE", f"/accounts/{funded}")
    assert (answer.status_code, answer.json()["code"]) == (409, "account_not_empty")
    assert alice.call("DELETE", f"/accounts/{empty}").status_code == 204
    assert alice.call("GET", f"/accounts/{empty}").status_code == 404
    assert empty not in [account["id"] for account in alice.get("/accounts", limit="200")["items"]]
