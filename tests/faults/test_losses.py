"""An accepted transfer ends, exactly once, whatever one thing is lost: a process, the broker's data, Redis' data."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from uuid import uuid4

import httpx
import pytest
import redis

from deploy.local.stack import Stack
from tests.support.accepted import END_S, accepted, all_completed, book_is_clean, parties_of, until
from tests.support.bank import Bank, Session


@pytest.fixture(scope="module")
def parties(bank: Bank) -> tuple[Session, str, str]:
    return parties_of(bank)


def test_requests_on_a_broker_that_loses_its_data_are_sent_again(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """They stand in Redis as well: the sweeper publishes them again once the broker is back."""
    alice, source, to = parties
    before = Decimal(alice.balance(source))
    stack.stop_service("fraud")
    transfers = accepted(alice, source, to, 5)
    stack.wipe_server("rabbitmq")
    stack.start_servers(["rabbitmq"])
    stack.start_service("fraud")
    until(lambda: all_completed(alice, transfers))
    assert Decimal(alice.balance(source)) == before - 5
    book_is_clean(stack)


def test_requests_pending_when_redis_loses_its_data_still_end(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """They stand at the broker as well; and after the gateway has registered them again the broker may go too."""
    alice, source, to = parties
    before = Decimal(alice.balance(source))
    stack.stop_service("fraud")
    transfers = accepted(alice, source, to, 5)
    client = redis.Redis.from_url(stack.env["REMIT_REDIS_URL"])
    client.flushall()

    def registered_again() -> bool:
        return int(client.zcard("remit:due")) >= len(transfers)

    until(registered_again)
    client.close()
    stack.wipe_server("rabbitmq")
    stack.start_servers(["rabbitmq"])
    stack.start_service("fraud")
    until(lambda: all_completed(alice, transfers))
    assert Decimal(alice.balance(source)) == before - 5
    book_is_clean(stack)


def test_what_ledger_and_audit_missed_on_a_wiped_broker_is_emitted_again(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """The rows are the outbox: reconcilers find what is missing downstream."""
    alice, source, to = parties
    for name in ("ledger", "audit"):
        stack.stop_service(name)
    body = [{"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD"}] * 20
    answer = alice.batch(body)
    assert {item["status_code"] for item in answer.json()["items"]} == {201}
    stack.wipe_server("rabbitmq")
    stack.start_servers(["rabbitmq"])
    stack.start_services(["ledger", "audit"])
    book_is_clean(stack)
    assert bank.verified(source)["status"] == "verified"


@pytest.mark.parametrize("victim", ["fraud", "transfer", "ledger", "audit", "gateway"])
def test_a_service_killed_under_load_loses_and_doubles_nothing(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str], victim: str
) -> None:
    """Clients retry what they do not know under the same key; each key is paid once."""
    alice, source, to = parties
    before = Decimal(alice.balance(source))
    keys = [str(uuid4()) for _ in range(60)]
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(insist, alice, source, to, key) for key in keys]
        until(lambda: any(call.done() for call in calls))
        stack.stop_service(victim, signal.SIGKILL)
        stack.start_service(victim)
        assert {call.result() for call in calls} == {201}
    assert Decimal(alice.balance(source)) == before - len(keys)
    book_is_clean(stack)


def insist(session: Session, source: str, to: str, key: str) -> int:
    """One transfer of 1.00, asked under the same key until its outcome is known; its status code."""
    deadline = time.monotonic() + END_S
    while time.monotonic() < deadline:
        try:
            answer = session.transfer(source, to, "1.00", key=key)
        except httpx.TransportError:
            time.sleep(0.1)
            continue
        if answer.status_code in {202, 409, 503}:
            time.sleep(0.1)
            continue
        return answer.status_code
    return 0


def test_two_gateways_share_keys_and_outcomes(stack: Stack, bank: Bank, parties: tuple[Session, str, str]) -> None:
    """A transfer accepted by one gateway that dies is looked after by the other."""
    alice, source, to = parties
    stack.start_service("gateway", 2)
    other = httpx.Client(base_url=stack.service_url("gateway", 2), timeout=40)
    twin = Session(other, alice.token, alice.user)
    key = str(uuid4())
    first, again = alice.transfer(source, to, key=key), twin.transfer(source, to, key=key)
    assert first.content == again.content
    stack.stop_service("fraud")
    transfers = accepted(twin, source, to, 3)
    stack.stop_service("gateway", signal.SIGKILL, 2)
    stack.wipe_server("rabbitmq")
    stack.start_servers(["rabbitmq"])
    stack.start_service("fraud")
    until(lambda: all_completed(alice, transfers))
    other.close()
    book_is_clean(stack)
