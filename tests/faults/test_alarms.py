"""A broker that runs out of memory or disk blocks publishers: an honest answer at once, a health that says why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import httpx
import pytest

from deploy.local.stack import Stack
from remit.doctor import examine
from tests.faults.conftest import HURRIED
from tests.support.accepted import accepted, all_completed, book_is_clean, parties_of, until
from tests.support.bank import Bank, Session
from tests.support.whole import whole_remit

_ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "0.00001"), ("set_vm_memory_high_watermark", "0.4")),
    "disk": (("set_disk_free_limit", "1000000GB"), ("set_disk_free_limit", "50MB")),
}
_AT_ONCE_S = 1.0


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack whose gateway is as impatient as it is by default: what is tested is how soon it tells."""
    with whole_remit(HURRIED, durable=True) as stack:
        yield stack


@pytest.fixture(scope="module")
def parties(bank: Bank) -> tuple[Session, str, str]:
    return parties_of(bank)


@contextmanager
def alarmed(stack: Stack, kind: str) -> Iterator[None]:
    """The broker takes nothing while the block runs."""
    on, off = _ALARMS[kind]
    stack.servers.control_broker(*on)
    try:
        yield
    finally:
        stack.servers.control_broker(*off)


def health(stack: Stack, service: str) -> dict[str, bool]:
    """The checks of a service's `/readyz`."""
    checks: dict[str, bool] = httpx.get(f"{stack.service_url(service)}/readyz", timeout=5).json()["checks"]
    return checks


@pytest.mark.parametrize("kind", sorted(_ALARMS))
def test_a_blocked_broker_is_told_at_once_and_said_by_health(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str], kind: str
) -> None:
    alice, source, to = parties
    before = accepted(alice, source, to, 3)
    until(lambda: all_completed(alice, before))
    key = str(uuid4())
    with alarmed(stack, kind):
        # The broker blocks a connection when it first publishes: that call cannot know.
        first = alice.transfer(source, to, key=key)
        assert (first.status_code, first.json()["code"]) == (503, "outcome_unknown")
        until(lambda: not health(stack, "gateway")["broker publish"], within_s=5)
        for _ in range(5):
            begun = time.monotonic()
            answer = alice.transfer(source, to)
            assert time.monotonic() - begun < _AT_ONCE_S
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert int(answer.headers["Retry-After"]) >= 1
        # Reads go on.
        assert alice.get(f"/accounts/{source}")["id"] == source
        assert httpx.get(f"{stack.service_url('gateway')}/healthz", timeout=5).status_code == 200
    until(lambda: health(stack, "gateway")["broker publish"], within_s=10)
    until(lambda: alice.transfer(source, to, key=key).status_code == 201)
    book_is_clean(stack)


@pytest.mark.parametrize(("kind", "words"), [("memory", "is out of memory"), ("disk", "is short of disk")])
def test_the_doctor_names_an_alarm_and_what_to_do(stack: Stack, kind: str, words: str) -> None:
    def named() -> bool:
        found = asyncio.run(examine(stack.env, area_timeout_s=10))["rabbitmq"]
        return any(words in finding.says and finding.do for finding in found)

    assert not named()
    with alarmed(stack, kind):
        until(named)
    until(lambda: not named())
