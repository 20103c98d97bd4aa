"""A broker without room on its disk: it warns, or dies; what was accepted ends once there is room."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from deploy.local.stack import Stack
from tests.faults.conftest import HURRIED
from tests.support.accepted import accepted, all_completed, book_is_clean, parties_of, until
from tests.support.bank import Bank, Session
from tests.support.disks import filled, needs_a_small_disk, stack_on_small_disk

_DISK_MIB = 400


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack whose broker stands on a small disk of its own."""
    with stack_on_small_disk("rabbitmq", mib=_DISK_MIB, settings=HURRIED) as stack:
        yield stack


@pytest.fixture(scope="module")
def parties(bank: Bank) -> tuple[Session, str, str]:
    return parties_of(bank)


def _is_refused(session: Session, source: str, to: str) -> bool:
    """Whether a new transfer is refused before it is begun."""
    answer = session.transfer(source, to)
    return answer.status_code == 503 and answer.json()["code"] == "unavailable"


def _is_lost(session: Session, source: str, to: str) -> bool:
    """Whether a new transfer is not confirmed."""
    return session.transfer(source, to).status_code == 503


def _waiting(stack: Stack, session: Session, source: str, to: str) -> list[str]:
    """Transfers that are accepted, and at the broker while it runs out of room."""
    stack.stop_service("fraud")
    return accepted(session, source, to, 5)


@needs_a_small_disk
def test_a_broker_with_little_room_takes_nothing_until_there_is_more(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    alice, source, to = parties
    transfers = _waiting(stack, alice, source, to)
    with filled(stack.layout.home("rabbitmq"), but_mib=30):
        until(lambda: _is_refused(alice, source, to))
    stack.start_service("fraud")
    until(lambda: all_completed(alice, transfers))
    until(lambda: alice.transfer(source, to).status_code == 201)
    book_is_clean(stack)


@needs_a_small_disk
def test_a_broker_that_broke_for_want_of_room_is_started_again(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """Without its own limit it writes until its log cannot be written; then an operator starts it again."""
    alice, source, to = parties
    stack.servers.control_broker("set_disk_free_limit", "1")
    transfers = _waiting(stack, alice, source, to)
    with filled(stack.layout.home("rabbitmq")):
        until(lambda: _is_lost(alice, source, to))
    stack.stop_server("rabbitmq", signal.SIGKILL)
    stack.start_servers(["rabbitmq"])
    stack.start_service("fraud")
    until(lambda: all_completed(alice, transfers))
    until(lambda: alice.transfer(source, to).status_code == 201)
    book_is_clean(stack)
