"""The calls for dead letters, as somebody outside meets them: nothing is parked in a healthy bank."""

from __future__ import annotations

from uuid import uuid4

import pytest

from tests.support.bank import Bank

_CALLS = [("GET", ""), ("POST", "/replay"), ("DELETE", "")]


def test_a_healthy_bank_has_none(bank: Bank) -> None:
    for parameters in ({}, {"include_resolved": "true"}, {"service": "ledger", "limit": "1"}):
        assert bank.admin.get("/admin/dead-letters", **parameters) == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(("name", "value"), [("service", "gateway"), ("include_resolved", "yes"), ("limit", "201")])
def test_a_filter_that_is_none_is_refused(bank: Bank, name: str, value: str) -> None:
    answer = bank.admin.call("GET", "/admin/dead-letters", params={name: value})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("letter", [str(uuid4()), "not-an-id"])
@pytest.mark.parametrize(("method", "act"), _CALLS)
def test_a_letter_that_does_not_exist_is_not_found(bank: Bank, letter: str, method: str, act: str) -> None:
    answer = bank.admin.call(method, f"/admin/dead-letters/{letter}{act}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(("method", "act"), [*_CALLS, ("LIST", "")])
def test_dead_letters_are_for_operators(bank: Bank, method: str, act: str) -> None:
    path = "/admin/dead-letters" if method == "LIST" else f"/admin/dead-letters/{uuid4()}{act}"
    verb = "GET" if method == "LIST" else method
    assert bank.customer().call(verb, path).json()["code"] == "forbidden"
    assert bank.client.request(verb, f"/api/v1{path}").status_code == 401
