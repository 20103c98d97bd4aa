"""Operators change who may do what; it holds from the next request on."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session


def _change(by: Session, user: str, **changes: Any) -> httpx.Response:
    return by.call("PATCH", f"/admin/users/{user}", json=changes)


def _login(bank: Bank, email: str, password: str = "correct horse battery") -> httpx.Response:  # noqa: S107 - made up
    return bank.client.post("/api/v1/auth/login", json={"email": email, "password": password})


def _audited(bank: Bank, user: str, action: str, count: int, **chosen: str) -> list[dict[str, Any]]:
    """The newest first, once there are at least so many."""
    deadline = time.monotonic() + 15
    asked = {"resource_type": "user", "resource_id": user, "action": action, **chosen}
    while True:
        items = bank.admin.get("/admin/audit-logs", **asked)["items"]
        if len(items) >= count or time.monotonic() > deadline:
            return list(items)
        time.sleep(0.05)


def _shape(answer: httpx.Response) -> dict[str, Any]:
    return {name: value for name, value in answer.json().items() if name != "request_id"}


def test_a_new_role_counts_at_once_and_ends_the_tokens_made_under_the_old_one(bank: Bank) -> None:
    customer = bank.customer("Carol")
    answer = _change(bank.admin, customer.user["id"], role="admin")
    assert (answer.status_code, answer.json()) == (200, {**customer.user, "role": "admin"})
    assert customer.call("GET", "/auth/me").status_code == 401
    promoted = bank.login(customer.user["email"])
    assert promoted.call("GET", "/admin/accounts").status_code == 200
    assert _change(bank.admin, customer.user["id"], role="customer").json()["role"] == "customer"
    assert promoted.call("GET", "/admin/accounts").status_code == 401
    assert bank.login(customer.user["email"]).call("GET", "/admin/accounts").status_code == 403


def test_an_inactive_user_is_out_at_once_and_cannot_be_told_from_a_wrong_password(bank: Bank) -> None:
    customer = bank.customer("Dan")
    others = bank.login(customer.user["email"])
    answer = _change(bank.admin, customer.user["id"], is_active=False)
    assert (answer.status_code, answer.json()["is_active"]) == (200, False)
    for session in (customer, others):
        assert session.call("GET", "/auth/me").json()["code"] == "unauthenticated"
    refused, wrong = _login(bank, customer.user["email"]), _login(bank, customer.user["email"], "wrong password")
    failed = _audited(bank, customer.user["id"], "LOGIN", 2, status="failed")
    assert {row["error_message"] for row in failed} == {"bad_credentials"}
    assert refused.status_code == 401
    assert _shape(refused) == _shape(wrong)
    assert _change(bank.admin, customer.user["id"], is_active=True).status_code == 200
    assert customer.call("GET", "/auth/me").status_code == 401, "tokens of before stay dead"
    assert bank.login(customer.user["email"]).user["is_active"] is True


def test_a_change_of_nothing_still_ends_the_users_tokens(bank: Bank) -> None:
    customer = bank.customer("Eve")
    answer = _change(bank.admin, customer.user["id"])
    assert (answer.status_code, answer.json()) == (200, customer.user)
    assert customer.call("GET", "/auth/me").status_code == 401


@pytest.mark.parametrize("changes", [{"role": "customer"}, {"is_active": False}, {"role": "admin", "is_active": False}])
def test_an_operator_cannot_lock_himself_out(bank: Bank, changes: dict[str, Any]) -> None:
    operator = bank.operator()
    answer = _change(operator, operator.user["id"], **changes)
    assert (answer.status_code, answer.json()["code"]) == (409, "own_access")
    assert operator.call("GET", "/admin/accounts").status_code == 200


def test_operators_who_turn_on_each_other_at_once_leave_one_of_them(bank: Bank) -> None:
    for _ in range(5):
        pair = [bank.operator(), bank.operator()]
        with ThreadPoolExecutor(2) as pool:
            answers = list(
                pool.map(lambda n: _change(pair[n], pair[1 - n].user["id"], role="customer").status_code, (0, 1))  # noqa: B023
            )
        assert answers.count(200) == 1, answers
        assert set(answers) - {200} <= {401, 403}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"role": "root"}, 422, "validation_failed"),
        ({"role": None}, 422, "validation_failed"),
        ({"is_active": "no"}, 422, "validation_failed"),
        ({"email": "x@example.com"}, 422, "validation_failed"),
        ([], 422, "validation_failed"),
    ],
)
def test_what_is_no_change_of_a_user_is_refused(bank: Bank, body: Any, status: int, code: str) -> None:
    user = bank.customer().user["id"]
    answer = bank.admin.call("PATCH", f"/admin/users/{user}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("user", [str(uuid4()), "nobody"])
def test_a_user_who_does_not_exist_is_not_found(bank: Bank, user: str) -> None:
    answer = _change(bank.admin, user, role="admin")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_changing_users_is_for_operators(bank: Bank) -> None:
    customer = bank.customer()
    answer = _change(customer, customer.user["id"], role="admin")
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    url = f"/api/v1/admin/users/{customer.user['id']}"
    assert bank.client.patch(url, json={"role": "admin"}).status_code == 401
    assert bank.client.get("/api/v1/auth/me", headers={"Authorization": f"Bearer {customer.token}"}).json() == (
        customer.user
    )


def test_who_changed_whom_and_from_what_is_in_the_audit_log(bank: Bank) -> None:
    operator, customer = bank.operator(), bank.customer()
    assert _change(operator, customer.user["id"], role="admin").status_code == 200
    [row] = _audited(bank, customer.user["id"], "UPDATE", 1)
    assert (row["status"], row["user_id"]) == ("success", operator.user["id"])
    assert row["details"] == {"changed": {"role": "admin"}, "before": {"role": "customer", "is_active": True}}
    assert _change(operator, operator.user["id"], role="customer").status_code == 409
    refused = _audited(bank, operator.user["id"], "UPDATE", 2)[0]
    assert (refused["status"], refused["error_message"]) == ("failed", "own_access")
