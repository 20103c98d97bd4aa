"""Idempotency while things break: a call held open, a gateway killed, Redis wiped."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis

from deploy.local.stack import Stack
from tests.support.bank import Session
from tests.support.waiting import until
from tests.support.whole import bank_of

_WAIT_S = 30.0


class Pair:
    """Two gateways of one bank, a customer, and the powers of a misfortune."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.bank = bank_of(stack, 1)
        self.other = bank_of(stack, 2)
        self.alice = self.bank.customer("Alice")
        self.source = self.bank.funded(self.alice, "1000.00")
        self.redis = redis.Redis.from_url(stack.env["REMIT_REDIS_URL"])
        self.pool = ThreadPoolExecutor(8)

    def session(self, n: int) -> Session:
        """The customer at gateway 1 or 2."""
        return Session((self.bank, self.other)[n - 1].client, self.alice.token, self.alice.user)

    def send(self, key: str, to: str, *, via: int = 1, amount: str = "1.00", wait_s: int = 25) -> httpx.Response:
        """A transfer that waits for its end."""
        headers = {"Prefer": f"wait={wait_s}"}
        return self.session(via).transfer(self.source, to, amount, key=key, headers=headers)

    def begin(self, key: str, to: str, *, via: int = 1) -> Future[httpx.Response]:
        """The same in the background; returns once its record is claimed."""
        held = len(self.records())
        call = self.pool.submit(self.send, key, to, via=via)
        until(lambda: len(self.records()) > held)
        return call

    def records(self) -> list[Any]:
        """The names of all records."""
        return list(self.redis.scan_iter("remit:record:*"))

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Nothing is screened, so nothing ends, while the block runs."""
        self.stack.signal("fraud", signal.SIGSTOP)
        try:
            yield
        finally:
            self.stack.signal("fraud", signal.SIGCONT)


def answered(send: Callable[[], httpx.Response]) -> httpx.Response:
    """What the call is answered once it is neither in progress nor unavailable, as a client would repeat it."""
    return until(send, lambda answer: answer.status_code not in {202, 409, 503}, within_s=_WAIT_S)


@pytest.fixture(scope="module")
def pair(whole_stack: Stack) -> Iterator[Pair]:
    whole_stack.start_service("gateway", 2)
    pair = Pair(whole_stack)
    yield pair
    pair.pool.shutdown()
    pair.redis.close()
    pair.bank.close()
    pair.other.close()
    whole_stack.stop_service("gateway", n=2)


@pytest.mark.parametrize("via", [1, 2])
def test_a_second_call_is_refused_while_the_first_is_open(pair: Pair, via: int) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    with pair.held_up():
        first = pair.begin(key, to)
        second = pair.send(key, to, via=via)
        assert (second.status_code, second.json()["code"]) == (409, "request_in_progress")
        assert 1 <= int(second.headers["Retry-After"]) <= 5
        other = pair.send(key, to, via=via, amount="2.00")
        assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
        assert other.json()["differing_fields"] == ["amount"]
        batch = pair.session(via).batch([{}], key=key)
        assert batch.status_code == 422
        assert batch.json()["code"] == "validation_failed"
    answer = first.result(_WAIT_S)
    assert answer.status_code == 201
    again = pair.send(key, to, via=via)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (answer.content, "true")
    assert pair.alice.balance(to) == "1.00"


def test_after_its_202_the_current_state_is_told(pair: Pair) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    with pair.held_up():
        first = pair.send(key, to, wait_s=0)
        assert first.status_code == 202
        # Pending still, and no call is open: not "in progress".
        for via in (1, 2):
            again = pair.send(key, to, via=via, wait_s=0)
            assert (again.status_code, again.json()) == (202, first.json())
    begun = time.monotonic()
    answer = answered(lambda: pair.send(key, to, via=2))
    assert (answer.status_code, answer.json()["id"]) == (201, first.json()["id"])
    # The end is told to the gateway that published; the other one looks for itself, long before its wait is over.
    assert time.monotonic() - begun < 10
    assert pair.send(key, to).content == answer.content
    assert pair.alice.balance(to) == "1.00"


@pytest.mark.parametrize("moment", ["before", "pending", "ended"])
def test_the_outcome_is_the_same_whenever_redis_is_wiped(pair: Pair, moment: str) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    if moment == "before":
        pair.redis.flushall()
        first = answered(lambda: pair.send(key, to))
    elif moment == "pending":
        with pair.held_up():
            call = pair.begin(key, to)
            pair.redis.flushall()
            # A gateway that knows nothing of the call: refused, or it waits for the same outcome.
            meanwhile = pair.send(key, to, via=2, wait_s=1)
            assert meanwhile.status_code in {202, 409, 503}
        first = call.result(_WAIT_S)
    else:
        first = pair.send(key, to)
        pair.redis.flushall()
    assert first.status_code == 201, first.text
    for via in (2, 1):
        again = answered(lambda via=via: pair.send(key, to, via=via))  # type: ignore[misc]
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert pair.alice.balance(to) == "1.00"


@pytest.mark.parametrize("kind", ["deposits", "withdrawals"])
def test_an_operators_answer_is_rebuilt_from_the_row(pair: Pair, kind: str) -> None:
    key, body = str(uuid4()), {"account_id": pair.source, "amount": "1.00", "currency": "USD", "description": "é"}
    first = pair.bank.admin.call("POST", f"/admin/{kind}", key=key, json=body)
    balance = pair.alice.balance(pair.source)
    pair.redis.flushall()
    again = answered(lambda: pair.bank.admin.call("POST", f"/admin/{kind}", key=key, json=body))
    assert (first.status_code, again.content) == (201, first.content)
    assert pair.alice.balance(pair.source) == balance


def test_refusals_and_batches_are_rebuilt_from_their_rows(pair: Pair) -> None:
    to = pair.alice.open_account()
    keys, batch = [str(uuid4()) for _ in range(3)], _batch(pair, to)
    calls: list[tuple[Callable[[], httpx.Response], int]] = [
        (lambda: pair.send(keys[0], to, amount="5000.00"), 422),
        (lambda: pair.send(keys[1], to, amount="1000000.01"), 403),
        (lambda: pair.alice.batch(batch, key=keys[2]), 200),
    ]
    firsts = [send() for send, _ in calls]
    assert [answer.status_code for answer in firsts] == [status for _, status in calls]
    balance = pair.alice.balance(to)
    pair.redis.flushall()
    for (send, status), first in zip(calls, firsts, strict=True):
        again = answered(send)
        assert (again.status_code, again.content) == (status, first.content)
        assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert again.headers.get("Location") == first.headers.get("Location")
    assert pair.alice.balance(to) == balance


def _batch(pair: Pair, to: str) -> list[dict[str, Any]]:
    def item(amount: str) -> dict[str, Any]:
        return {"from_account_id": pair.source, "to_account_id": to, "amount": amount, "currency": "USD"}

    return [item("1.00"), item("9000.00"), item("1000000.01"), item("2.00")]


def test_a_key_refused_for_another_payload_stays_refused_after_a_wipe(pair: Pair) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    first = pair.send(key, to)
    pair.redis.flushall()
    other = answered(lambda: pair.send(key, to, amount="2.00"))
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert other.json()["differing_fields"] == ["amount"]
    assert pair.send(key, to).content == first.content
    assert pair.alice.balance(to) == "1.00"


def test_two_gateways_at_once_pay_once(pair: Pair) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    answers = list(pair.pool.map(lambda n: pair.send(key, to, via=1 + n % 2), range(16)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
    assert pair.alice.balance(to) == "1.00"


def test_a_call_whose_gateway_is_killed_is_taken_over(pair: Pair) -> None:
    """Its lease ends with the gateway that held it, not with the half minute it was given."""
    key, to = str(uuid4()), pair.alice.open_account()
    with pair.held_up():
        call = pair.begin(key, to, via=2)
        pair.stack.stop_service("gateway", signal.SIGKILL, n=2)
        with pytest.raises(httpx.HTTPError):
            call.result(_WAIT_S)
        answer = pair.send(key, to, wait_s=0)
        assert (answer.status_code, answer.json().get("code")) == (409, "request_in_progress")
        answer = until(lambda: pair.send(key, to, wait_s=0), lambda one: one.status_code != 409, within_s=10)
        assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    ended = answered(lambda: pair.send(key, to))
    assert (ended.status_code, ended.json()["id"]) == (201, answer.json()["id"])
    assert pair.alice.balance(to) == "1.00"
    pair.stack.start_service("gateway", 2)


def test_what_could_not_be_begun_leaves_the_key_free(pair: Pair) -> None:
    """Redis away: 503 `unavailable`; back again, the same key is a first call."""
    key, to = str(uuid4()), pair.alice.open_account()
    pair.stack.stop_server("redis")
    try:
        answer = pair.send(key, to)
        # On a connection that is found dead only by asking, nobody can tell.
        while answer.json()["code"] == "outcome_unknown":
            answer = pair.send(key, to)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) >= 1
    finally:
        pair.stack.start_servers(["redis"])
    first = answered(lambda: pair.send(key, to))
    assert first.status_code == 201
    assert "Idempotent-Replayed" not in first.headers
    assert pair.alice.balance(to) == "1.00"


def test_the_flag_is_lowered_when_the_call_is_over(pair: Pair) -> None:
    key, to = str(uuid4()), pair.alice.open_account()
    transfer_id = pair.send(key, to).json()["id"]
    record = pair.redis.hgetall(f"remit:record:t:{transfer_id}")
    assert isinstance(record, dict)
    assert record[b"state"] == b"ended"
    assert not {b"owner", b"holder", b"lease"} & set(record)
    assert 86_000 < int(pair.redis.ttl(f"remit:record:t:{transfer_id}")) <= 86_400


def test_a_token_that_was_given_back_stays_dead_when_redis_is_wiped(pair: Pair) -> None:
    customer = pair.bank.customer()
    other = Session(pair.other.client, customer.token, customer.user)
    for session in (customer, other):
        # Its signature is remembered by both gateways from now on.
        assert session.call("GET", "/auth/me").status_code == 200
    assert customer.call("POST", "/auth/logout").status_code == 204
    for _ in range(2):
        assert [session.call("GET", "/auth/me").status_code for session in (customer, other)] == [401, 401]
        pair.redis.flushall()


def test_a_batch_is_told_again_in_the_same_bytes_when_redis_is_wiped(pair: Pair) -> None:
    """Also what has no row: an item whose source does not exist was refused before it was published."""
    to = pair.alice.open_account()
    one = {"from_account_id": pair.source, "to_account_id": to, "amount": "1.00", "currency": "USD"}
    body = {"transfers": [one, {**one, "from_account_id": str(uuid4())}, {**one, "amount": "999999.00"}]}
    key = str(uuid4())

    def send() -> httpx.Response:
        return pair.bank.admin.call("POST", "/admin/transfers/batch", key=key, json=body)

    first = answered(send)
    assert [item["status_code"] for item in first.json()["items"]] == [201, 404, 422]
    assert "Idempotent-Replayed" not in first.headers
    pair.redis.flushall()
    again = answered(send)
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert pair.alice.balance(to) == "1.00"
