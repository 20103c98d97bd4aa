"""Deleted accounts and transfers are gone for every reader, and for nothing that keeps the books."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session


@pytest.fixture(scope="module")
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


@pytest.fixture(scope="module")
def bob(bank: Bank) -> Session:
    return bank.customer("Bob")


def _delete(bank: Bank, transfer: str) -> httpx.Response:
    return bank.admin.call("DELETE", f"/admin/transfers/{transfer}")


def _restore(bank: Bank, transfer: str) -> httpx.Response:
    return bank.admin.call("POST", f"/admin/transfers/{transfer}/restore")


def _transfers(session: Session, **chosen: str) -> list[str]:
    return [transfer["id"] for transfer in session.get("/transfers", limit="200", **chosen)["items"]]


def _accounts(session: Session, path: str = "/accounts", **chosen: str) -> list[str]:
    return [account["id"] for account in session.get(path, limit="200", **chosen)["items"]]


def _shape(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def _entries_of(session: Session, account: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 15
    while len(items := session.get(f"/accounts/{account}/entries")["items"]) < count:
        assert time.monotonic() < deadline, items
        time.sleep(0.02)
    return list(items)


def _audited(bank: Bank, resource: str, action: str) -> list[dict[str, Any]]:
    deadline = time.monotonic() + 15
    while True:
        rows = bank.admin.get("/admin/audit-logs", resource_id=resource, action=action)["items"]
        if rows or time.monotonic() > deadline:
            return list(rows)
        time.sleep(0.05)


def test_a_deleted_transfer_is_gone_for_every_reader_and_comes_back_whole(
    bank: Bank, alice: Session, bob: Session
) -> None:
    source, to = bank.funded(alice, "100.00"), bob.open_account()
    transfer = alice.transfer(source, to, "12.34", metadata={"a": 1}).json()
    one = transfer["id"]
    before = {session: session.get(f"/transfers/{one}") for session in (alice, bob, bank.admin)}
    assert _delete(bank, one).status_code == 204
    for session in (alice, bob, bank.admin):
        for path in (f"/transfers/{one}", f"/transfers/{one}/timeline"):
            gone, missing = session.call("GET", path), session.call("GET", path.replace(one, str(uuid4())))
            assert gone.status_code == 404
            assert _shape(gone) == _shape(missing)
        assert one not in _transfers(session)
        assert one not in _transfers(session, account_id=source)
        assert one not in _transfers(session, account_id=to)
    answer = _restore(bank, one)
    assert (answer.status_code, answer.json()) == (200, transfer)
    for session, body in before.items():
        assert session.get(f"/transfers/{one}") == body
    assert one in _transfers(alice)
    assert one in _transfers(bob)


def test_deleting_a_transfer_moves_no_money_and_leaves_the_books_alone(
    bank: Bank, alice: Session, bob: Session
) -> None:
    source, to = bank.funded(alice, "100.00"), bob.open_account()
    one = alice.transfer(source, to, "30.00").json()["id"]
    bank.verified(source)
    before = _entries_of(alice, source, 2), _entries_of(bob, to, 1)
    assert _delete(bank, one).status_code == 204
    assert (alice.balance(source), bob.balance(to)) == ("70.00", "30.00")
    assert (_entries_of(alice, source, 2), _entries_of(bob, to, 1)) == before
    for account in (source, to):
        assert bank.verified(account)["status"] == "verified"
    assert alice.transfer(source, to, "70.01").json()["code"] == "insufficient_funds"


def test_a_deleted_transfers_usage_still_counts_against_the_limits(bank: Bank) -> None:
    """50 an hour: hiding one of them gives no room for another."""
    customer = bank.customer()
    source, to = bank.funded(customer, "100.00"), customer.open_account()
    body = {"from_account_id": source, "to_account_id": to, "amount": "0.01", "currency": "USD"}
    items = customer.batch([body] * 50).json()["items"]
    assert {item["status_code"] for item in items} == {201}
    assert _delete(bank, items[0]["transfer"]["id"]).status_code == 204
    assert customer.transfer(source, to, "0.01").json()["code"] == "transfer_blocked"


@pytest.mark.parametrize("amount", ["5.00", "500.00", "1000000.01"])
def test_the_key_of_a_deleted_transfer_still_gives_its_answer_and_pays_nothing(
    bank: Bank, alice: Session, bob: Session, amount: str
) -> None:
    """Completed, failed and blocked ones alike."""
    source, to = bank.funded(alice, "100.00"), bob.open_account()
    key = str(uuid4())
    first = alice.transfer(source, to, amount, key=key)
    one = first.json().get("transfer_id") or first.json()["id"]
    assert _delete(bank, one).status_code == 204
    again = alice.transfer(source, to, amount, key=key)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert alice.transfer(source, to, "6.00", key=key).json()["code"] == "idempotency_key_reused"
    assert alice.call("GET", f"/transfers/{one}").status_code == 404
    assert one not in _transfers(alice, idempotency_key=key)
    assert bob.balance(to) == ("5.00" if first.status_code == 201 else "0.00")


def test_a_batch_with_a_deleted_item_is_replayed_whole(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice, "100.00"), bob.open_account()
    key = str(uuid4())
    body = [{"from_account_id": source, "to_account_id": to, "amount": a, "currency": "USD"} for a in ("1.00", "2.00")]
    first = alice.batch(body, key=key)
    assert _delete(bank, first.json()["items"][0]["transfer"]["id"]).status_code == 204
    again = alice.batch(body, key=key)
    assert (again.status_code, again.content) == (200, first.content)
    assert bob.balance(to) == "3.00"


def test_deleting_twice_finds_nothing_and_restoring_twice_changes_nothing(
    bank: Bank, alice: Session, bob: Session
) -> None:
    source, to = bank.funded(alice), bob.open_account()
    one = alice.transfer(source, to).json()["id"]
    assert [_delete(bank, one).status_code for _ in range(2)] == [204, 404]
    assert [_restore(bank, one).status_code for _ in range(2)] == [200, 200]
    assert alice.get(f"/transfers/{one}")["id"] == one


@pytest.mark.parametrize("name", ["not-an-id", str(uuid4())])
def test_a_transfer_that_does_not_exist_cannot_be_deleted_or_restored(bank: Bank, name: str) -> None:
    for answer in (_delete(bank, name), _restore(bank, name)):
        assert (answer.status_code, answer.json()["code"]) == (404, "transfer_not_found")


def test_hiding_and_showing_is_for_operators(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()
    one = alice.transfer(source, to).json()["id"]
    for method, path in (("DELETE", f"/admin/transfers/{one}"), ("POST", f"/admin/transfers/{one}/restore")):
        assert alice.call(method, path).json()["code"] == "forbidden"
        assert bank.client.request(method, f"/api/v1{path}").status_code == 401
    assert alice.get(f"/transfers/{one}")["id"] == one


def test_who_deleted_and_restored_is_in_the_audit_log(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice), bob.open_account()
    one = alice.transfer(source, to).json()["id"]
    assert _delete(bank, one).status_code == 204
    assert _restore(bank, one).status_code == 200
    for action in ("DELETE", "RESTORE"):
        [row] = _audited(bank, one, action)
        assert (row["resource_type"], row["status"], row["user_id"]) == (
            "transaction",
            "success",
            bank.admin.user["id"],
        )
    assert _audited(bank, one, "TRANSFER"), "what was audited before stays"


def test_a_deleted_account_is_gone_for_every_reader_and_comes_back(bank: Bank) -> None:
    owner = bank.customer("Owner")
    account = bank.funded(owner, "10.00")
    body = {"account_id": account, "amount": "10.00", "currency": "USD"}
    assert bank.admin.call("POST", "/admin/withdrawals", key=str(uuid4()), json=body).status_code == 201
    entries = _entries_of(owner, account, 2)
    before = owner.get(f"/accounts/{account}")
    assert owner.call("DELETE", f"/accounts/{account}").status_code == 204
    for session in (owner, bank.admin):
        for path in (f"/accounts/{account}", f"/accounts/{account}/entries"):
            gone, missing = session.call("GET", path), session.call("GET", path.replace(account, str(uuid4())))
            assert gone.status_code == 404
            assert _shape(gone) == _shape(missing)
        assert owner.call("PATCH", f"/accounts/{account}", json={"name": "X"}).status_code == 404
        assert owner.call("DELETE", f"/accounts/{account}").status_code == 404
    assert account not in _accounts(owner)
    mine = {"owner_id": owner.user["id"]}
    assert account not in _accounts(bank.admin, "/admin/accounts", **mine)
    assert account in _accounts(bank.admin, "/admin/accounts", include_deleted="true", **mine)
    answer = bank.admin.call("POST", f"/admin/accounts/{account}/restore")
    assert (answer.status_code, answer.json()["is_deleted"]) == (200, False)
    after = owner.get(f"/accounts/{account}")
    assert {**after, "version": 0, "updated_at": ""} == {**before, "version": 0, "updated_at": ""}
    assert _entries_of(owner, account, 2) == entries
    assert account in _accounts(owner)
    for action in ("DELETE", "RESTORE"):
        assert _audited(bank, account, action)


def test_a_closed_account_neither_pays_nor_receives_from_the_very_next_transfer_on(bank: Bank) -> None:
    owner, other = bank.customer("Owner"), bank.customer("Other")
    closed, paying = owner.open_account(), bank.funded(other, "100.00")
    assert other.transfer(paying, closed, "1.00").status_code == 201
    assert owner.transfer(closed, paying, "1.00").status_code == 201
    assert owner.call("DELETE", f"/accounts/{closed}").status_code == 204
    refused = [
        other.transfer(paying, closed, "1.00"),
        owner.transfer(closed, paying, "1.00"),
        *(
            bank.admin.call(
                "POST",
                f"/admin/{way}",
                key=str(uuid4()),
                json={"account_id": closed, "amount": "1.00", "currency": "USD"},
            )
            for way in ("deposits", "withdrawals")
        ),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(422, "account_closed")}
    assert other.balance(paying) == "100.00"
    assert bank.admin.call("POST", f"/admin/accounts/{closed}/restore").status_code == 200
    assert other.transfer(paying, closed, "1.00").status_code == 201
    assert owner.balance(closed) == "1.00"


def test_an_account_with_money_is_not_closed_and_still_pays(bank: Bank, alice: Session, bob: Session) -> None:
    source, to = bank.funded(alice, "1.00"), bob.open_account()
    answer = alice.call("DELETE", f"/accounts/{source}")
    assert (answer.status_code, answer.json()["code"]) == (409, "account_not_empty")
    assert alice.transfer(source, to, "1.00").status_code == 201
    assert alice.call("DELETE", f"/accounts/{source}").status_code == 204


def test_another_customers_account_can_be_neither_closed_nor_restored_by_a_customer(
    bank: Bank, alice: Session, bob: Session
) -> None:
    account = alice.open_account()
    answer, missing = bob.call("DELETE", f"/accounts/{account}"), bob.call("DELETE", f"/accounts/{uuid4()}")
    assert answer.status_code == 404
    assert _shape(answer) == _shape(missing)
    assert alice.call("DELETE", f"/accounts/{account}").status_code == 204
    assert alice.call("POST", f"/admin/accounts/{account}/restore").json()["code"] == "forbidden"
