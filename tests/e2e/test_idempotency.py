"""Idempotency keys, as a client meets them."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from uuid import uuid4

import pytest

from tests.support.bank import Bank, Session


@pytest.fixture(scope="module")
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


@pytest.fixture(scope="module")
def accounts(bank: Bank, alice: Session) -> tuple[str, str]:
    return bank.funded(alice, "1000000.00"), alice.open_account()


def _calls(bank: Bank, alice: Session, source: str, to: str) -> dict[str, tuple[Session, str, dict[str, Any], int]]:
    """Every kind of call that takes a key: who sends it, where, what, and how it is answered."""
    order = {"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD"}
    operators = {"account_id": source, "amount": "1.00", "currency": "USD"}
    poor = {**order, "from_account_id": to, "to_account_id": source, "amount": "900000.00"}
    account = {"owner_reference": "somebody", "name": "Main", "currency": "USD", "opening_balance": "5.00"}
    empty = {name: value for name, value in account.items() if name != "opening_balance"}
    return {
        "transfer": (alice, "/transfers", order, 201),
        "transfer that fails": (alice, "/transfers", poor, 422),
        "transfer from nowhere": (alice, "/transfers", {**order, "from_account_id": str(uuid4())}, 404),
        "transfer that is blocked": (alice, "/transfers", {**order, "amount": "1000000.01"}, 403),
        "batch": (alice, "/transfers/batch", {"transfers": [order, {**order, "amount": "999999.00"}, order]}, 200),
        "deposit": (bank.admin, "/admin/deposits", operators, 201),
        "deposit into nothing": (bank.admin, "/admin/deposits", {**operators, "account_id": str(uuid4())}, 422),
        "withdrawal": (bank.admin, "/admin/withdrawals", operators, 201),
        "operator's batch": (bank.admin, "/admin/transfers/batch", {"transfers": [order]}, 200),
        "account": (alice, "/accounts", {"name": "Main", "currency": "USD"}, 201),
        "accounts": (bank.admin, "/admin/accounts/batch", {"accounts": [account]}, 200),
        "empty accounts": (bank.admin, "/admin/accounts/batch", {"accounts": [empty, empty]}, 200),
        "accounts with keys": (
            bank.admin,
            "/admin/accounts/batch",
            {"accounts": [_keyed(account), _keyed(empty)]},
            200,
        ),
    }


def _keyed(item: dict[str, str]) -> dict[str, str]:
    return {**item, "idempotency_key": str(uuid4())}


_KINDS = [
    "transfer", "transfer that fails", "transfer from nowhere", "transfer that is blocked", "batch", "deposit",
    "deposit into nothing", "withdrawal", "operator's batch", "account", "accounts",
    "empty accounts", "accounts with keys",
]  # fmt: skip


@pytest.mark.parametrize("kind", _KINDS)
def test_the_same_call_again_gives_the_same_bytes(
    bank: Bank, alice: Session, accounts: tuple[str, str], kind: str
) -> None:
    who, path, body, status = _calls(bank, alice, *accounts)[kind]
    key = str(uuid4())
    first = who.call("POST", path, key=key, json=body)
    before = alice.balance(accounts[0])
    # Another spelling of the same: order of fields, white space, quotes around the key.
    spelled = json.dumps(dict(reversed(body.items())), indent=1).encode()
    headers = {"Content-Type": "application/json", "X-Request-ID": "another"}
    again = who.call("POST", path, key=f'"{key}"', content=spelled, headers=headers)
    assert (first.status_code, again.status_code) == (status, status), (first.text, again.text)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again.headers["Content-Type"] == first.headers["Content-Type"]
    assert again.headers["X-Request-ID"] == "another"
    # Nor does it matter how the client calls the request.
    named = who.call("POST", path, key=key, json=body, headers={"X-Request-ID": first.headers["X-Request-ID"]})
    assert (named.content, named.headers["Idempotent-Replayed"]) == (first.content, "true")
    assert alice.balance(accounts[0]) == before


@pytest.mark.parametrize(
    ("kind", "change", "named"),
    [
        ("transfer", {"amount": "2.00"}, ["amount"]),
        ("transfer", {"description": ""}, ["description"]),
        ("transfer", {"metadata": {}}, ["metadata"]),
        ("transfer", {"to_account_id": str(uuid4()), "currency": "EUR"}, ["to_account_id", "currency"]),
        ("transfer that fails", {"amount": "2.00"}, ["amount"]),
        ("transfer that is blocked", {"amount": "2.00"}, ["amount"]),
        ("deposit", {"amount": "2.00"}, ["amount"]),
        ("withdrawal", {"description": "x"}, ["description"]),
        ("account", {"name": "Other"}, ["name"]),
        ("account", {"currency": "EUR"}, ["currency"]),
    ],
)
def test_the_same_key_for_something_else_names_what_differs(
    bank: Bank, alice: Session, accounts: tuple[str, str], kind: str, change: dict[str, Any], named: list[str]
) -> None:
    who, path, body, status = _calls(bank, alice, *accounts)[kind]
    key = str(uuid4())
    assert who.call("POST", path, key=key, json=body).status_code == status
    answer = who.call("POST", path, key=key, json={**body, **change})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "idempotency_key_reused")
    assert problem["differing_fields"] == named
    # The first outcome stands.
    assert who.call("POST", path, key=key, json=body).headers["Idempotent-Replayed"] == "true"


def test_another_batch_under_a_key_names_the_items(bank: Bank, alice: Session, accounts: tuple[str, str]) -> None:
    _, _, body, _ = _calls(bank, alice, *accounts)["batch"]
    items, key = body["transfers"], str(uuid4())
    assert alice.batch(items, key=key).status_code == 200
    for other in ([*items[:2], {**items[2], "amount": "3.00"}], items[:2], [*items, items[0]]):
        answer = alice.batch(other, key=key)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
        assert answer.json()["differing_fields"]


def test_a_key_belongs_to_its_operation(bank: Bank, alice: Session, accounts: tuple[str, str]) -> None:
    key, calls = str(uuid4()), _calls(bank, alice, *accounts)
    for kind in ("deposit", "withdrawal", "operator's batch"):
        who, path, body, status = calls[kind]
        assert who.call("POST", path, key=key, json=body).status_code == status
    for kind in ("transfer", "batch", "account"):
        who, path, body, status = calls[kind]
        assert who.call("POST", path, key=key, json=body).status_code == status


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400), (b"{}", {}, 422), (b'{"amount":"0"}', {}, 422), (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {"Authorization": "Bearer x"}, 401), (b" " * (1024 * 1024 + 1), {}, 413),
    ],
)  # fmt: skip
def test_what_is_refused_before_it_is_begun_leaves_the_key_free_and_the_record_alone(
    alice: Session, accounts: tuple[str, str], body: bytes, headers: dict[str, str], status: int
) -> None:
    key = str(uuid4())
    headers = {"Content-Type": "application/json", **headers}
    assert alice.call("POST", "/transfers", key=key, content=body, headers=headers).status_code == status
    first = alice.transfer(*accounts, key=key)
    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    assert alice.call("POST", "/transfers", key=key, content=body, headers=headers).status_code == status
    assert alice.transfer(*accounts, key=key).content == first.content


def test_after_its_202_the_same_call_gives_the_state_as_it_is(alice: Session, accounts: tuple[str, str]) -> None:
    key = str(uuid4())
    first = alice.transfer(*accounts, key=key, headers={"Prefer": "respond-async"})
    assert (first.status_code, first.json()["status"]) == (202, "pending")
    again = alice.transfer(*accounts, key=key)
    assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert alice.transfer(*accounts, key=key).content == again.content


def test_a_client_that_hangs_up_finds_its_transfer_done_once(
    bank: Bank, alice: Session, accounts: tuple[str, str]
) -> None:
    to, keys = alice.open_account(), [str(uuid4()) for _ in range(5)]
    for key in keys:
        _send_and_hang_up(bank, alice, key, accounts[0], to)
    for key in keys:
        deadline = time.monotonic() + 20
        answer = alice.transfer(accounts[0], to, key=key)
        while answer.status_code == 409:
            assert time.monotonic() < deadline
            time.sleep(0.1)
            answer = alice.transfer(accounts[0], to, key=key)
        assert answer.status_code == 201, answer.text
    assert alice.balance(to) == "5.00"


def _send_and_hang_up(bank: Bank, session: Session, key: str, source: str, to: str) -> None:
    body = json.dumps({"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD"})
    request = (
        "POST /api/v1/transfers HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {session.token}\r\nIdempotency-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    url = bank.client.base_url
    with socket.create_connection((url.host, url.port or 80)) as connection:
        connection.sendall(request.encode())


@pytest.mark.parametrize("opening", [{}, {"opening_balance": "5.00"}])
def test_opened_accounts_are_answered_as_they_were_opened(bank: Bank, alice: Session, opening: dict[str, str]) -> None:
    """Whatever has moved or renamed them since."""
    key, reference = str(uuid4()), uuid4().hex
    body = {"accounts": [{"owner_reference": reference, "name": "Main", "currency": "USD", **opening}]}
    first = bank.admin.call("POST", "/admin/accounts/batch", key=key, json=body)
    account = first.json()["items"][0]["account"]
    found = bank.admin.get(f"/accounts/{account['id']}")
    assert {**account, "updated_at": ""} == {**found, "updated_at": ""}
    assert bank.deposit(account["id"], "1.00").status_code == 201
    again = bank.admin.call("POST", "/admin/accounts/batch", key=key, json=body)
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_renamed_account_is_still_answered_as_it_was_opened(alice: Session) -> None:
    key, body = str(uuid4()), {"name": "Main", "currency": "USD"}
    first = alice.call("POST", "/accounts", key=key, json=body)
    assert alice.call("PATCH", f"/accounts/{first.json()['id']}", json={"name": "Other"}).status_code == 200
    assert alice.call("POST", "/accounts", key=key, json=body).content == first.content
    assert alice.call("DELETE", f"/accounts/{first.json()['id']}").status_code == 204
    assert alice.call("POST", "/accounts", key=key, json=body).content == first.content
