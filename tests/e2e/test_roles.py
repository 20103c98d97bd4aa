"""Every route and who calls it: the table must name each route of the document, so that none is forgotten."""

from __future__ import annotations

import re
import statistics
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.support.bank import Bank, Session

_EMAIL = "nobody-yet@example.com"


@dataclass(frozen=True)
class Open:
    """Needs no token."""

    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Anyone:
    """Needs a token; concerns nobody but the caller. What it answers a valid call."""

    status: int
    body: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Owned:
    """Concerns one resource: its owner, somebody else, an operator."""

    owner: int
    operator: int
    body: dict[str, Any] | None = None
    payee: int = 404


@dataclass(frozen=True)
class Operators:
    """Needs the role `admin`."""


@dataclass(frozen=True)
class Pages:
    """Takes what only a page of the gateway's console sends (test_sessions.py). What it answers everybody else."""

    status: int = 401


_ROUTES: dict[str, Open | Anyone | Owned | Operators | Pages] = {
    "GET /healthz": Open(),
    "GET /readyz": Open(),
    "GET /metrics": Open(),
    "POST /api/v1/auth/register": Open({"email": _EMAIL, "password": "x" * 8, "full_name": "Nobody"}),
    "POST /api/v1/auth/login": Open({"email": _EMAIL, "password": "x" * 8}),
    "POST /api/v1/auth/logout": Anyone(204),
    "GET /api/v1/auth/me": Anyone(200),
    "POST /api/v1/auth/session": Pages(),
    "GET /api/v1/auth/session": Pages(204),
    "PUT /api/v1/auth/session": Pages(),
    "DELETE /api/v1/auth/session": Pages(),
    "POST /api/v1/accounts": Anyone(201, {"name": "Main", "currency": "USD"}),
    "GET /api/v1/accounts": Anyone(200),
    "GET /api/v1/accounts/{}": Owned(owner=200, operator=200),
    "GET /api/v1/accounts/{}/entries": Owned(owner=200, operator=200),
    "PATCH /api/v1/accounts/{}": Owned(owner=200, operator=404, body={"name": "Other"}),
    "DELETE /api/v1/accounts/{}": Owned(owner=204, operator=404),
    "POST /api/v1/transfers": Anyone(422),
    "POST /api/v1/transfers/batch": Anyone(422),
    "GET /api/v1/transfers": Anyone(200),
    "GET /api/v1/transfers/{}": Owned(owner=200, operator=200, payee=200),
    "GET /api/v1/transfers/{}/timeline": Owned(owner=200, operator=200, payee=200),
    "POST /api/v1/admin/deposits": Operators(),
    "POST /api/v1/admin/withdrawals": Operators(),
    "POST /api/v1/admin/accounts/batch": Operators(),
    "POST /api/v1/admin/transfers/batch": Operators(),
    "GET /api/v1/admin/accounts": Operators(),
    "DELETE /api/v1/admin/accounts/{}": Operators(),
    "POST /api/v1/admin/accounts/{}/restore": Operators(),
    "GET /api/v1/admin/transfers": Operators(),
    "GET /api/v1/admin/transfers/{}/timeline": Operators(),
    "DELETE /api/v1/admin/transfers/{}": Operators(),
    "POST /api/v1/admin/transfers/{}/restore": Operators(),
    "PATCH /api/v1/admin/users/{}": Operators(),
    "GET /api/v1/admin/users/{}/usage": Operators(),
    "GET /api/v1/admin/ledger/trial-balance": Operators(),
    "GET /api/v1/admin/ledger/verify": Operators(),
    "GET /api/v1/admin/ledger/verify/events": Operators(),
    "GET /api/v1/admin/ledger/verify/{}": Operators(),
    "GET /api/v1/admin/audit-logs": Operators(),
    "GET /api/v1/admin/audit-logs/export": Operators(),
    "GET /api/v1/admin/audit-logs/verify": Operators(),
    "GET /api/v1/admin/audit-logs/verify/events": Operators(),
    "GET /api/v1/admin/fraud-stats": Operators(),
    "GET /api/v1/admin/pipeline": Operators(),
    "GET /api/v1/admin/pipeline/events": Operators(),
    "GET /api/v1/admin/dead-letters": Operators(),
    "GET /api/v1/admin/dead-letters/{}": Operators(),
    "POST /api/v1/admin/dead-letters/{}/replay": Operators(),
    "DELETE /api/v1/admin/dead-letters/{}": Operators(),
}


def _served(bank: Bank) -> set[str]:
    document = bank.client.get("/openapi.json").json()
    return {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}"
        for path, methods in document["paths"].items()
        for method in methods
    }


def _rows(kind: type[Any]) -> list[str]:
    return [name for name, row in _ROUTES.items() if isinstance(row, kind)]


def _call(client: httpx.Client, route: str, token: str | None, row: Any = None, **more: Any) -> httpx.Response:
    method, _, path = route.partition(" ")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    headers |= {"Idempotency-Key": str(uuid4())} if method == "POST" else {}
    body = getattr(row, "body", None)
    resource = more.pop("resource", str(uuid4()))
    request_id = more.pop("request_id", "the-same-for-all")
    headers |= {"X-Request-ID": request_id}
    with client.stream(method, path.replace("{}", resource), headers=headers, json=body, **more) as answer:
        # Events go on and on.
        if answer.headers.get("Content-Type") != "text/event-stream":
            answer.read()
    return answer


@pytest.fixture(scope="module")
def owner(bank: Bank) -> Session:
    return bank.customer("Owner")


@pytest.fixture(scope="module")
def other(bank: Bank) -> Session:
    return bank.customer("Other")


def test_the_table_names_every_route(bank: Bank) -> None:
    assert sorted(_served(bank) - set(_ROUTES)) == []
    assert sorted(set(_ROUTES) - _served(bank)) == []


@pytest.mark.parametrize("token", [None, "abc", "a.b.c"])
@pytest.mark.parametrize("route", _rows(Anyone) + _rows(Owned) + _rows(Operators))
def test_without_a_valid_token_nothing_is_answered(bank: Bank, route: str, token: str | None) -> None:
    answer = _call(bank.client, route, token)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("route", _rows(Open))
def test_open_routes_need_no_token_and_heed_none(bank: Bank, route: str) -> None:
    row = _ROUTES[route]
    for token in (None, "abc"):
        answer = _call(bank.client, route, token, row)
        assert answer.status_code in ({200, 401} if route.endswith("/login") else {200, 201, 409})


@pytest.mark.parametrize("route", _rows(Anyone))
def test_any_caller_may_use_what_concerns_himself(bank: Bank, route: str) -> None:
    row = _ROUTES[route]
    assert isinstance(row, Anyone)
    caller = bank.customer()
    assert _call(bank.client, route, caller.token, row).status_code == row.status


@pytest.mark.parametrize("route", _rows(Pages))
def test_a_pages_routes_take_no_token(bank: Bank, route: str) -> None:
    row = _ROUTES[route]
    assert isinstance(row, Pages)
    for token in (None, bank.admin.token):
        assert _call(bank.client, route, token, Open({"email": _EMAIL, "password": "x" * 8})).status_code == row.status


@pytest.mark.parametrize("route", _rows(Operators))
def test_operators_routes_are_theirs_alone(bank: Bank, owner: Session, route: str) -> None:
    refused = _call(bank.client, route, owner.token)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    body: dict[str, Any] | None = {} if route.startswith(("POST", "PATCH")) else None
    answer = _call(bank.client, route, bank.admin.token, Open(body))
    assert answer.status_code not in {401, 403}
    assert answer.status_code < 500


@pytest.mark.parametrize("route", _rows(Owned))
def test_anothers_resource_is_one_that_does_not_exist(bank: Bank, owner: Session, other: Session, route: str) -> None:
    row = _ROUTES[route]
    assert isinstance(row, Owned)
    resource, payee = _resource(bank, owner, route)
    others = _call(bank.client, route, other.token, row, resource=resource)
    missing = _call(bank.client, route, other.token, row)
    malformed = _call(bank.client, route, other.token, row, resource="no-id")
    assert others.status_code == 404
    assert _seen(others) == _seen(missing) == _seen(malformed)
    operators = _call(bank.client, route, bank.admin.token, row, resource=resource)
    assert operators.status_code == row.operator
    assert _call(bank.client, route, payee.token, row, resource=resource).status_code == row.payee
    assert _call(bank.client, route, owner.token, row, resource=resource).status_code == row.owner


def _resource(bank: Bank, owner: Session, route: str) -> tuple[str, Session]:
    """Something of the owner's, and who was paid by him."""
    payee = bank.customer("Payee")
    if "/transfers/" not in route:
        return owner.open_account(), payee
    answer = owner.transfer(bank.funded(owner), payee.open_account())
    assert answer.status_code == 201
    return answer.json()["id"], payee


def _seen(answer: httpx.Response) -> tuple[Any, ...]:
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.content


def test_what_a_transfer_did_to_the_accounts_is_told_to_operators_alone(bank: Bank, owner: Session) -> None:
    """Of both sides: the payee's balance is not the payer's to know, nor the other way round."""
    resource, payee = _resource(bank, owner, "/transfers/")
    bank.verified(bank.admin.get(f"/transfers/{resource}")["to_account_id"])

    def booked(session: Session) -> list[dict[str, Any]]:
        stages = session.get(f"/transfers/{resource}/timeline")["items"]
        return [stage["detail"] for stage in stages if stage["stage"] == "ledger"]

    assert booked(owner) == booked(payee) == [{"direction": "debit"}, {"direction": "credit"}]
    debit, credit = booked(bank.admin)
    assert (debit["balance_before"], debit["amount"], debit["balance_after"]) == ("100.00", "1.00", "99.00")
    assert (credit["account_seq"], credit["balance_before"], credit["balance_after"]) == (1, "0.00", "1.00")


def test_a_payee_sees_completed_transfers_only(bank: Bank, owner: Session, other: Session) -> None:
    failed = owner.transfer(owner.open_account(), other.open_account())
    assert failed.status_code == 422
    one = f"GET /api/v1/transfers/{failed.json()['transfer_id']}"
    assert _call(bank.client, one, owner.token).status_code == 200
    assert _call(bank.client, one, other.token).status_code == 404


def test_spending_from_anothers_account_is_spending_from_none(bank: Bank, owner: Session, other: Session) -> None:
    """The worker decides it, from the accounts; an operator spends from none either."""
    source, own = bank.funded(owner), other.open_account()
    for caller in (other, bank.admin):
        others, missing = caller.transfer(source, own), caller.transfer(str(uuid4()), own)
        told = [{**a.json(), "transfer_id": "", "request_id": ""} for a in (others, missing)]
        assert others.status_code == missing.status_code == 404
        assert told[0] == told[1]
        assert others.headers.keys() == missing.headers.keys()
    assert owner.balance(source) == "100.00"


@pytest.mark.parametrize("what", ["accounts", "transfers"])
def test_anothers_resource_takes_as_long_as_a_missing_one(
    bank: Bank, owner: Session, other: Session, what: str
) -> None:
    """A difference that is there shows in the quicker ones; what other work on the machine makes, in the slower."""
    route = f"GET /api/v1/{what}/{{}}"
    resource, _ = _resource(bank, owner, route)

    def took_s(wanted: str) -> float:
        begun = time.perf_counter()
        assert _call(bank.client, route, other.token, resource=wanted).status_code == 404
        return time.perf_counter() - begun

    seen, pairs = [], []
    for _ in range(8):
        pairs += [(took_s(resource), took_s(str(uuid4()))) for _ in range(40)]
        others, missing = (statistics.quantiles(side, n=4)[0] for side in zip(*pairs, strict=True))
        seen.append(f"{others * 1000:.2f} and {missing * 1000:.2f} ms")
        if abs(others - missing) < 0.2 * max(others, missing):
            return
    pytest.fail(f"told apart in every round: {seen}")
