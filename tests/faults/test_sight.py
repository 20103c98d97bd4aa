"""What an operator is told while parts are away: what is broken by name, and everything else all the same.

A part that does not answer a look within a second is unknown to that look alone: whatever is expected of one look is
waited for as a whole.
"""

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
from tests.support.accepted import END_S, parties_of
from tests.support.bank import Bank, Session
from tests.support.metrics import Scrape, scrape
from tests.support.waiting import until
from tests.support.whole import bank_of

_BOUNDED_S = 10.0


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


def consumers(body: dict[str, Any], name: str) -> int:
    """How many there are, none where it is unknown; two of one worker while it opens its next stream."""
    return int(queue(body, name)["consumers"] or 0)


def waits(body: dict[str, Any], name: str) -> int:
    """How many messages wait in a queue, none where it is unknown."""
    return int(queue(body, name)["depth"] or 0)


def lag(body: dict[str, Any], name: str) -> tuple[str | None, int | None, float]:
    """Behind whom a stage is, by how many rows, and for how many seconds; nobody where it is unknown."""
    found = stage(body, name)["lag"] or {}
    return found.get("behind"), found.get("rows"), found.get("age_s", 0.0)


def once(bank: Bank, is_so: Callable[[dict[str, Any]], bool], *, within_s: float = 30) -> dict[str, Any]:
    """The first look that is so."""
    return until(lambda: look(bank), is_so, within_s=within_s)


def measured(stack: Stack, is_so: Callable[[Scrape], bool]) -> None:
    """Returns once the gateway's metrics say so."""
    until(lambda: scrape(stack.service_url("gateway")), is_so, within_s=END_S)


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

        def is_named(body: dict[str, Any]) -> bool:
            behind, rows, age_s = lag(body, "ledger")
            return (
                codes(body) == {("worker_missing", "ledger"), ("stage_behind", "ledger")}
                and (body["status"], stage(body, "ledger")["instances"]) == ("critical", [])
                and (behind, rows, age_s > 5) == ("transfer", 3, True)
                and waits(body, "ledger.settled") >= 1
                and (queue(body, "ledger.settled")["consumers"], lag(body, "audit")[1]) == (0, 0)
            )

        def is_explained(stuck: dict[str, Any]) -> bool:
            return (
                [one["stage"] for one in stuck["waits"]] == ["ledger"]
                and stuck["stuck_because"].endswith("No ledger worker is connected to the broker.")
                and {one["code"] for one in stuck["waits"][0]["evidence"]} == {"worker_missing", "stage_behind"}
            )

        once(bank, is_named)
        until(lambda: bank.admin.get(f"/admin/transfers/{made.json()['id']}/timeline"), is_explained)
        measured(
            stack,
            lambda seen: (
                seen.value("remit_queue_consumers", queue="ledger.settled") == 0
                and seen.value("remit_stage_lag_seconds", stage="ledger") > 5
            ),
        )


def test_transfers_that_nobody_screens_are_pending_and_said_to_be(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    with without(stack, "fraud"):
        for _ in range(2):
            assert alice.transfer(source, to, headers={"Prefer": "respond-async"}).status_code == 202

        def is_said(body: dict[str, Any]) -> bool:
            _, rows, age_s = lag(body, "fraud")
            return (
                {("stage_behind", "fraud"), ("worker_missing", "fraud")} <= codes(body)
                and (body["pending"], rows) == (2, 2)
                and body["oldest_pending_s"] >= age_s - 1 > 3
                and waits(body, "fraud.requested") >= 1
            )

        once(bank, is_said)
        waiting = until(
            lambda: bank.admin.get("/admin/transfers", account_id=to, status="pending"),
            lambda found: (len(found["items"]), found["unknown"]) == (2, {}),
        )
        until(
            lambda: bank.admin.get(f"/admin/transfers/{waiting['items'][0]['id']}/timeline")["stuck_because"],
            lambda because: because and because.endswith("No fraud worker is connected to the broker."),
        )


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


@pytest.mark.timeout(300)
def test_a_worker_that_died_is_forgotten_once_another_has_come(stack: Stack, bank: Bank) -> None:
    """Nobody clears up after the dead: the others do, a minute later."""
    with without(stack, "audit", signal.SIGKILL):
        once(bank, lambda body: {("worker_missing", "audit"), ("instance_silent", "audit")} <= codes(body))
    once(bank, lambda body: body["status"] == "ok" and len(stage(body, "audit")["instances"]) == 1, within_s=150)


def test_without_a_broker_everything_else_is_told(stack: Stack, bank: Bank) -> None:
    stack.stop_server("rabbitmq", signal.SIGKILL)
    try:

        def is_all_the_rest_told(body: dict[str, Any]) -> bool:
            return (
                ("broker_down", None) in codes(body)
                and body["servers"][0] == {"name": "broker", "state": "down"}
                and queue(body, "ledger.settled")["depth"] is None
                and all(
                    stage(body, name)["unknown"].keys() == {"queues"}
                    and lag(body, name)[1] == 0
                    and len(stage(body, name)["instances"]) == 1
                    for name in ("fraud", "transfer", "ledger", "audit")
                )
                and body["unknown"] == {}
            )

        once(bank, is_all_the_rest_told)
    finally:
        stack.start_servers(["rabbitmq"])


def test_without_redis_everything_else_is_told(stack: Stack, bank: Bank, parties: tuple[Session, str, str]) -> None:
    stack.stop_server("redis", signal.SIGKILL)
    try:
        once(
            bank,
            lambda body: (
                ("redis_down", None) in codes(body)
                and (body["pending"], body["unknown"].keys()) == (None, {"pending"})
                and stage(body, "fraud")["unknown"].keys() == {"lag"}
                and stage(body, "ledger")["unknown"] == {}
                and consumers(body, "ledger.settled") >= 1
            ),
        )
        until(
            lambda: bank.admin.get("/admin/transfers", limit="1"),
            lambda found: (len(found["items"]), found["unknown"].keys()) == (1, {"pending"}),
        )
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
        once(
            other,
            lambda body: (
                ("database_down", None) in codes(body)
                and stage(body, "ledger")["unknown"].keys() == {"lag", "instances", "dead_letters_open"}
                and stage(body, "audit")["unknown"] == {}
                and {s["name"] for s in body["servers"] if s["state"] == "down"} == {"database ledger"}
                and body["settled_per_s"] is not None
            ),
        )
    finally:
        other.close()
        stack.stop_service("gateway", n=2)


def test_a_broker_that_blocks_publishers_is_told_from_one_that_is_away(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    with alarmed(stack, "memory"):
        alice.transfer(source, to)
        once(
            bank,
            lambda body: (
                ("broker_blocks", None) in codes(body)
                and consumers(body, "ledger.settled") >= 1
                and stage(body, "ledger")["unknown"] == {}
            ),
        )
        measured(stack, lambda seen: seen.value("remit_broker_blocked", link="gateway publish") == 1)


def test_a_dead_letter_is_counted_until_it_is_resolved(stack: Stack, bank: Bank) -> None:
    parked = """
        INSERT INTO ledger.dead_letters (id, message_type, reason, detail, origin, item)
        VALUES ('00000000-0000-4000-8000-000000000001', 'transfer.settled', 'poison', '', 'ledger.settled', '{}')
    """
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"]) as connection:
        connection.execute(parked)
    once(
        bank,
        lambda body: (
            ("dead_letters_open", "ledger") in codes(body)
            and (body["status"], stage(body, "ledger")["dead_letters_open"]) == ("warning", 1)
        ),
    )
    letter = bank.admin.get("/admin/dead-letters")["items"][0]["id"]
    assert bank.admin.call("DELETE", f"/admin/dead-letters/{letter}").status_code == 204
