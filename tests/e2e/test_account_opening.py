"""A key opens one account, whoever calls however often."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session

_BODY = {"name": "Savings", "currency": "EUR"}


@pytest.fixture(scope="module")
def alice(bank: Bank) -> Session:
    return bank.customer("Alice")


def _open(session: Session, key: str | None, **headers: str) -> httpx.Response:
    return session.call("POST", "/accounts", key=key, json=_BODY, headers=headers)


def test_a_replay_gives_the_same_bytes_and_opens_nothing(bank: Bank) -> None:
    owner, key = bank.customer(), str(uuid4())
    first = _open(owner, key)
    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    # Whatever becomes of the account, and whatever the second call is named.
    assert owner.call("PATCH", f"/accounts/{first.json()['id']}", json={"name": "Other"}).status_code == 200
    name = first.headers["X-Request-ID"]
    for again in (_open(owner, f'"{key}"'), _open(owner, key, **{"X-Request-ID": name})):
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
    assert len(owner.get("/accounts")["items"]) == 1


def test_a_key_whose_account_was_deleted_still_gives_its_answer(bank: Bank) -> None:
    owner, key = bank.customer(), str(uuid4())
    first = _open(owner, key)
    assert owner.call("DELETE", f"/accounts/{first.json()['id']}").status_code == 204
    assert _open(owner, key).content == first.content
    assert owner.get("/accounts")["items"] == []


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": "Other"}, ["name"]),
        ({"currency": "USD"}, ["currency"]),
        ({"name": "Other", "currency": "USD"}, ["name", "currency"]),
    ],
)
def test_another_payload_under_the_key_is_refused_and_the_fields_are_named(
    alice: Session, changes: dict[str, Any], fields: list[str]
) -> None:
    key = str(uuid4())
    assert _open(alice, key).status_code == 201
    answer = alice.call("POST", "/accounts", key=key, json={**_BODY, **changes})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert answer.json()["differing_fields"] == fields
    assert _open(alice, key).status_code == 201, "the first stays as it is"


def test_the_same_call_many_times_at_once_opens_one_account(bank: Bank) -> None:
    owner, key = bank.customer(), str(uuid4())
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: _open(owner, key), range(32)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"request_in_progress"}
    assert all(a.headers["Retry-After"] for a in answers if a.status_code == 409)
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert len([a for a in answers if a.status_code == 201 and "Idempotent-Replayed" not in a.headers]) == 1
    assert len(owner.get("/accounts")["items"]) == 1


def test_a_key_belongs_to_its_caller_and_its_operation(bank: Bank, alice: Session) -> None:
    bob, key = bank.customer("Bob"), str(uuid4())
    ids = {_open(session, key).json()["id"] for session in (alice, bob)}
    assert len(ids) == 2
    source, to = bank.funded(alice), bob.open_account()
    assert alice.transfer(source, to, key=key).status_code == 201


def test_without_a_key_every_call_opens_another_account(alice: Session) -> None:
    first, second = _open(alice, None), _open(alice, None)
    assert first.json()["id"] != second.json()["id"]
    assert "Idempotent-Replayed" not in second.headers


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "é"])
def test_a_key_that_is_none_is_refused(alice: Session, key: str) -> None:
    headers = [("Authorization", f"Bearer {alice.token}".encode()), ("Idempotency-Key", key.encode())]
    answer = alice.call("POST", "/accounts", json=_BODY, headers=dict(headers))
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_invalid")
