"""The limits of an address and of logins, by two gateways that count together."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import uuid4

import httpx
import pytest
import redis

from deploy.local.stack import Stack
from tests.support.bank import Bank, Session
from tests.support.whole import bank_of

_LIMIT = 10
# Seconds: short, so that a test can see it roll.
_WINDOW_S = 6
_SETTINGS = {
    "REMIT_GATEWAY_IP_RATE_LIMIT": str(_LIMIT),
    "REMIT_GATEWAY_IP_RATE_WINDOW_S": str(_WINDOW_S),
    "REMIT_GATEWAY_TRUSTED_PROXIES": "127.0.0.0/8, 10.0.0.0/8",
}
_PASSWORD = "correct horse battery"
_addresses = count(1)


@pytest.fixture(scope="module")
def gateways(stack: Stack, bank: Bank) -> Iterator[tuple[Bank, Bank]]:
    """Two with the limit on, behind proxies that they trust."""
    for n in (2, 3):
        stack.start_service("gateway", n, _SETTINGS)
    banks = bank_of(stack, 2), bank_of(stack, 3)
    yield banks
    for one in banks:
        one.close()
    for n in (2, 3):
        stack.stop_service("gateway", n=n)


class Sender:
    """A customer with money, calling from an address of his own."""

    def __init__(self, gateways: tuple[Bank, Bank]) -> None:
        number = next(_addresses)
        self.address = f"198.51.{number // 250}.{number % 250 + 1}"
        self.session = gateways[0].customer()
        self.source = gateways[0].funded(self.session, "1000.00")
        self.to = self.session.open_account()
        self._clients = [one.client for one in gateways]

    def send(self, *, via: int = 0, address: str | None = None, key: str | None = None, **body: str) -> httpx.Response:
        """A transfer by gateway `via`, as if from `address`."""
        order = {"from_account_id": self.source, "to_account_id": self.to, "amount": "1.00", "currency": "USD", **body}
        session = Session(self._clients[via], self.session.token, self.session.user)
        headers = {"X-Forwarded-For": address or self.address}
        return session.call("POST", "/transfers", key=key or str(uuid4()), json=order, headers=headers)


@pytest.fixture
def sender(gateways: tuple[Bank, Bank]) -> Sender:
    return Sender(gateways)


def test_ten_calls_pass_and_the_eleventh_is_told_when_to_come_back(sender: Sender) -> None:
    """Counted by both gateways together."""
    assert [sender.send(via=n % 2).status_code for n in range(_LIMIT)] == [201] * _LIMIT
    answer = sender.send(via=1)
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    wait_s = int(answer.headers["Retry-After"])
    assert 1 <= wait_s <= _WINDOW_S
    assert answer.headers["RateLimit-Policy"] == f'"ip";q={_LIMIT};w={_WINDOW_S}'
    assert re.fullmatch(rf'"ip";r=0;t={wait_s}', answer.headers["RateLimit"])
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_any_window_has_ten_and_refused_calls_are_not_counted(sender: Sender) -> None:
    """Told to come back, a client that keeps asking is not kept out for longer."""
    begun = time.monotonic()
    assert [sender.send().status_code for _ in range(_LIMIT)] == [201] * _LIMIT
    refused = sender.send()
    while refused.status_code == 429:
        assert time.monotonic() - begun < _WINDOW_S + 3
        time.sleep(0.1)
        refused = sender.send()
    assert refused.status_code == 201
    # The oldest of the ten has just left the window.
    assert _WINDOW_S - 0.5 < time.monotonic() - begun < _WINDOW_S + 3


def test_at_once_by_two_gateways_exactly_ten_pass(sender: Sender) -> None:
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda n: sender.send(via=n % 2).status_code, range(40)))
    assert sorted(answers) == [201] * _LIMIT + [429] * 30


def test_only_well_formed_authenticated_calls_that_create_count(sender: Sender, gateways: tuple[Bank, Bank]) -> None:
    headers = {"X-Forwarded-For": sender.address}
    for _ in range(_LIMIT):
        assert sender.send(amount="0").status_code == 422
        assert gateways[0].client.post("/api/v1/transfers", headers=headers, json={}).status_code == 401
        assert sender.session.call("GET", "/transfers", headers=headers).status_code == 200
    assert [sender.send().status_code for _ in range(_LIMIT + 1)] == [201] * _LIMIT + [429]


def test_a_batch_is_one_call(sender: Sender) -> None:
    item = {"from_account_id": sender.source, "to_account_id": sender.to, "amount": "0.01", "currency": "USD"}
    headers = {"X-Forwarded-For": sender.address, "Idempotency-Key": str(uuid4())}
    answer = sender.session.call("POST", "/transfers/batch", json={"transfers": [item] * 20}, headers=headers)
    assert answer.status_code == 200
    assert [sender.send().status_code for _ in range(_LIMIT)] == [201] * (_LIMIT - 1) + [429]


def test_a_replay_counts_and_is_answered_over_the_limit(sender: Sender) -> None:
    key = str(uuid4())
    first = sender.send(key=key)
    assert [sender.send(key=key).status_code for _ in range(_LIMIT - 1)] == [201] * (_LIMIT - 1)
    assert sender.send().status_code == 429
    again = sender.send(key=key, via=1)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("path", ["/transfers", "/transfers/batch"])
def test_a_replay_of_which_only_rows_are_left_is_answered_over_the_limit(
    sender: Sender, stack: Stack, path: str
) -> None:
    """As after 24 hours, or where Redis is short of memory."""
    order = {"from_account_id": sender.source, "to_account_id": sender.to, "amount": "1.00", "currency": "USD"}
    body = order if path == "/transfers" else {"transfers": [order, {**order, "amount": "5000.00"}]}
    headers = {"X-Forwarded-For": sender.address}
    key = str(uuid4())

    def call() -> httpx.Response:
        return sender.session.call("POST", path, key=key, json=body, headers=headers)

    first = call()
    with redis.Redis.from_url(stack.env["REMIT_REDIS_URL"]) as records:
        for name in records.scan_iter("remit:record:*"):
            if records.hget(name, "state") == b"ended":
                records.delete(name)
    assert [sender.send().status_code for _ in range(_LIMIT)] == [201] * (_LIMIT - 1) + [429]
    again = call()
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert sender.send().status_code == 429


def test_a_refused_call_leaves_its_key_free(sender: Sender) -> None:
    for _ in range(_LIMIT):
        sender.send()
    key = str(uuid4())
    assert sender.send(key=key).status_code == 429
    assert sender.send(key=key, address="203.0.113.77", amount="2.00").status_code == 201


def test_operators_are_not_counted(gateways: tuple[Bank, Bank]) -> None:
    bank = gateways[0]
    account = bank.customer().open_account()
    headers = {"X-Forwarded-For": "203.0.113.9"}
    body = {"account_id": account, "amount": "1.00", "currency": "USD"}
    for _ in range(_LIMIT + 2):
        answer = bank.admin.call("POST", "/admin/deposits", key=str(uuid4()), json=body, headers=headers)
        assert answer.status_code == 201


@pytest.mark.parametrize(
    ("forwarded", "same_as"),
    [
        ("6.6.6.6, {}", "{}"),
        ("{}, 10.1.2.3", "{}"),
        ("1.1.1.1,{}, 10.1.2.3 , 10.0.0.9", "{}"),
        ("{}:4711", "{}"),
        ("::ffff:{}", "{}"),
    ],
)
def test_the_nearest_address_that_no_proxy_is_counts(sender: Sender, forwarded: str, same_as: str) -> None:
    for n in range(_LIMIT):
        written = (forwarded if n % 2 else same_as).replace("{}", sender.address)
        assert sender.send(address=written).status_code == 201
    assert sender.send().status_code == 429
    assert sender.send(address=f"{sender.address}, 198.18.0.{next(_addresses)}").status_code == 201


def test_a_network_of_ipv6_is_one_address(sender: Sender) -> None:
    network = f"2001:db8:0:{next(_addresses):x}"
    for n in range(_LIMIT):
        assert sender.send(address=f"{network}:{n:x}::{n + 1:x}").status_code == 201
    assert sender.send(address=f"[{network}:ffff::1]:443").status_code == 429
    assert sender.send(address=f"2001:db8:1:{next(_addresses):x}::1").status_code == 201


def _login(bank: Bank, email: str, password: str, address: str) -> httpx.Response:
    headers = {"X-Forwarded-For": address}
    return bank.client.post("/api/v1/auth/login", json={"email": email, "password": password}, headers=headers)


def test_ten_failures_close_an_account_to_strangers_and_not_to_its_owner(gateways: tuple[Bank, Bank]) -> None:
    bank, other = gateways
    owner = bank.customer()
    email, home = owner.user["email"], f"192.0.2.{next(_addresses)}"
    assert _login(bank, email, _PASSWORD, home).status_code == 200
    tried = [_login(gateways[n % 2], email.upper(), "wrong password", f"198.19.0.{n}").status_code for n in range(11)]
    assert tried == [401] * 10 + [429]
    refused = _login(other, email, _PASSWORD, "198.19.1.1")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) <= 900
    assert '"login-account";q=10;w=900' in refused.headers["RateLimit-Policy"]
    assert refused.headers["RateLimit"].startswith('"login-account";r=0;t=')
    assert _login(other, email, _PASSWORD, home).status_code == 200
    assert owner.call("GET", "/auth/me").status_code == 200


def test_logins_that_succeed_do_not_count(gateways: tuple[Bank, Bank]) -> None:
    owner = gateways[0].customer()
    for _ in range(11):
        assert _login(gateways[0], owner.user["email"], _PASSWORD, "198.19.2.1").status_code == 200
