"""What an operator is told while parts are away: what is broken by name, and everything else all the same."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from deploy.local.stack import Stack
from tests.faults.test_alarms import alarmed
from tests.support.accepted import parties_of, until
from tests.support.bank import Bank, Session
from tests.support.metrics import scrape
from tests.support.whole import bank_of

_BOUNDED_S = 5.0


@pytest.fixture(scope="module")
def parties(bank: Bank) -> tuple[Session, str, str]:
    return parties_of(bank)


def look(bank: Bank) -> dict[str, Any]:
    """What the operator reads, in bounded time whatever is broken."""
    begun = time.monotonic()
    body: dict[str, Any] = bank.admin.get("/admin/pipeline")
    assert time.monotonic() - begun < _BOUNDED_S
    return body


def codes(body: dict[str, Any]) -> set[tuple[str, str | None]]:
    return {(problem["code"], problem["stage"]) for problem in body["problems"]}


def stage(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in body["stages"] if one["stage"] == name)
    return found


def queue(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(q for one in body["stages"] for q in one["queues"] if q["name"] == name)
    return found


def once(bank: Bank, is_so: Callable[[dict[str, Any]], bool], *, within_s: float = 30) -> dict[str, Any]:
    """The first look that is so."""
    seen: dict[str, Any] = {}

    def found() -> bool:
        seen.update(look(bank))
        return is_so(seen)

    until(found, within_s=within_s)
    return seen


@pytest.fixture(autouse=True)
def well(bank: Bank) -> Iterator[None]:
    """Nothing is wrong before a test, nor after it."""
    once(bank, lambda body: body["status"] == "ok", within_s=90)
    yield
    once(bank, lambda body: body["status"] == "ok", within_s=90)


@contextmanager
def without(stack: Stack, service: str, signal_number: int = signal.SIGTERM) -> Iterator[None]:
    """The service does not run while the block does."""
    stack.stop_service(service, signal_number)
    try:
        yield
    finally:
        stack.start_service(service)


def test_a_worker_that_is_not_there_is_named_and_what_waits_for_it_grows_old(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    with without(stack, "ledger"):
        for _ in range(3):
            made = alice.transfer(source, to)
            assert made.status_code == 201
        body = once(bank, lambda body: ("stage_behind", "ledger") in codes(body))
        assert codes(body) == {("worker_missing", "ledger"), ("stage_behind", "ledger")}
        assert body["status"] == "critical"
        assert stage(body, "ledger")["instances"] == []
        assert stage(body, "ledger")["lag"]["behind"] == "transfer"
        assert stage(body, "ledger")["lag"]["age_s"] > 5
        assert stage(body, "ledger")["lag"]["rows"] == 3
        assert queue(body, "ledger.settled")["depth"] >= 1
        assert (queue(body, "ledger.settled")["consumers"], stage(body, "audit")["lag"]["rows"]) == (0, 0)
        stuck = bank.admin.get(f"/admin/transfers/{made.json()['id']}/timeline")
        assert [one["stage"] for one in stuck["waits"]] == ["ledger"]
        assert stuck["stuck_because"].endswith("No ledger worker is connected to the broker.")
        assert {one["code"] for one in stuck["waits"][0]["evidence"]} == {"worker_missing", "stage_behind"}

        def is_measured() -> bool:
            seen = scrape(stack.service_url("gateway"))
            consumers = seen.value("remit_queue_consumers", queue="ledger.settled")
            return consumers == 0 and seen.value("remit_stage_lag_seconds", stage="ledger") > 5

        until(is_measured)


def test_transfers_that_nobody_screens_are_pending_and_said_to_be(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    with without(stack, "fraud"):
        for _ in range(2):
            assert alice.transfer(source, to, headers={"Prefer": "respond-async"}).status_code == 202
        body = once(bank, lambda body: ("stage_behind", "fraud") in codes(body))
        assert ("worker_missing", "fraud") in codes(body)
        assert (body["pending"], stage(body, "fraud")["lag"]["rows"]) == (2, 2)
        assert body["oldest_pending_s"] >= stage(body, "fraud")["lag"]["age_s"] - 1 > 3
        assert queue(body, "fraud.requested")["depth"] >= 1
        waiting = bank.admin.get("/admin/transfers", account_id=to, status="pending")
        assert (len(waiting["items"]), waiting["unknown"]) == (2, {})
        stuck = bank.admin.get(f"/admin/transfers/{waiting['items'][0]['id']}/timeline")
        assert stuck["stuck_because"].endswith("No fraud worker is connected to the broker.")


def test_a_worker_that_hangs_is_silent_and_has_messages_in_hand(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    stack.signal("ledger", signal.SIGSTOP)
    try:
        assert alice.transfer(source, to).status_code == 201
        once(bank, lambda body: ("instance_silent", "ledger") in codes(body))
    finally:
        stack.signal("ledger", signal.SIGCONT)


def test_a_worker_that_died_is_forgotten_once_another_has_come(stack: Stack, bank: Bank) -> None:
    """Nobody clears up after the dead: the others do, a minute later."""
    with without(stack, "audit", signal.SIGKILL):
        once(bank, lambda body: {("worker_missing", "audit"), ("instance_silent", "audit")} <= codes(body))
    body = once(bank, lambda body: body["status"] == "ok", within_s=110)
    assert len(stage(body, "audit")["instances"]) == 1


def test_without_a_broker_everything_else_is_told(stack: Stack, bank: Bank) -> None:
    stack.stop_server("rabbitmq", signal.SIGKILL)
    try:
        body = once(bank, lambda body: ("broker_down", None) in codes(body))
        assert body["servers"][0] == {"name": "broker", "state": "down"}
        assert queue(body, "ledger.settled")["depth"] is None
        for name in ("fraud", "transfer", "ledger", "audit"):
            assert stage(body, name)["unknown"].keys() == {"queues"}
            assert stage(body, name)["lag"]["rows"] == 0
            assert len(stage(body, name)["instances"]) == 1
        assert body["unknown"] == {}
    finally:
        stack.start_servers(["rabbitmq"])


def test_without_redis_everything_else_is_told(stack: Stack, bank: Bank, parties: tuple[Session, str, str]) -> None:
    stack.stop_server("redis", signal.SIGKILL)
    try:
        body = once(bank, lambda body: ("redis_down", None) in codes(body))
        assert (body["pending"], body["unknown"].keys()) == (None, {"pending"})
        assert stage(body, "fraud")["unknown"].keys() == {"lag"}
        assert stage(body, "ledger")["unknown"] == {}
        assert queue(body, "ledger.settled")["consumers"] == 1
        found = bank.admin.get("/admin/transfers", limit="1")
        assert (len(found["items"]), found["unknown"].keys()) == (1, {"pending"})
    finally:
        stack.start_servers(["redis"])


def test_without_one_database_everything_else_is_told(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """Another gateway, for which the ledger's views lie on a server that is not there."""
    away = {"REMIT_GATEWAY_READS_LEDGER_POSTGRES_URL": "postgresql://remit_gateway:x@127.0.0.1:1/remit"}
    with pytest.raises(Exception, match="ready"):
        stack.start_service("gateway", 2, overrides=away)
    other = bank_of(stack, 2)
    try:
        body = look(other)
        assert ("database_down", None) in codes(body)
        assert stage(body, "ledger")["unknown"].keys() == {"lag", "instances", "dead_letters_open"}
        assert stage(body, "audit")["unknown"] == {}
        assert {s["name"] for s in body["servers"] if s["state"] == "down"} == {"database ledger"}
        assert body["settled_per_s"] is not None
    finally:
        other.close()
        stack.stop_service("gateway", n=2)


def test_a_broker_that_blocks_publishers_is_told_from_one_that_is_away(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    with alarmed(stack, "memory"):
        alice.transfer(source, to)
        body = once(bank, lambda body: ("broker_blocks", None) in codes(body))
        assert queue(body, "ledger.settled")["consumers"] == 1
        assert stage(body, "ledger")["unknown"] == {}
        seen = scrape(stack.service_url("gateway"))
        assert seen.value("remit_broker_blocked", link="gateway publish") == 1


def test_a_dead_letter_is_counted_until_it_is_resolved(stack: Stack, bank: Bank) -> None:
    parked = """
        INSERT INTO ledger.dead_letters (id, message_type, reason, detail, origin, item)
        VALUES ('00000000-0000-4000-8000-000000000001', 'transfer.settled', 'poison', '', 'ledger.settled', '{}')
    """
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"]) as connection:
        connection.execute(parked)
    body = once(bank, lambda body: ("dead_letters_open", "ledger") in codes(body))
    assert (body["status"], stage(body, "ledger")["dead_letters_open"]) == ("warning", 1)
    letter = bank.admin.get("/admin/dead-letters")["items"][0]["id"]
    assert bank.admin.call("DELETE", f"/admin/dead-letters/{letter}").status_code == 204
