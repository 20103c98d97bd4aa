"""PostgreSQL without room, or without leave to write: nothing is failed; what was accepted ends on recovery."""

from __future__ import annotations

import os
from collections.abc import Iterator

import psycopg
import pytest

from deploy.local.stack import Stack
from tests.faults.conftest import SETTINGS
from tests.support.accepted import all_completed, book_is_clean, parties_of, until
from tests.support.bank import Bank, Session
from tests.support.databases import end_sessions
from tests.support.disks import filled, needs_a_small_disk, stack_on_small_disk

_DISK_MIB = 400


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A stack whose PostgreSQL stands on a small disk of its own."""
    with stack_on_small_disk("postgres", mib=_DISK_MIB, settings=SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="module")
def parties(bank: Bank) -> tuple[Session, str, str]:
    return parties_of(bank)


def _batch(session: Session, source: str, to: str, count: int) -> list[str]:
    """The ids of so many transfers of 0.01, accepted in one call that does not wait."""
    one = {"from_account_id": source, "to_account_id": to, "amount": "0.01", "currency": "USD"}
    headers = {"Prefer": "respond-async"}
    answer = session.call(
        "POST", "/transfers/batch", key=os.urandom(8).hex(), json={"transfers": [one] * count}, headers=headers
    )
    items = answer.json()["items"]
    assert {item["status_code"] for item in items} == {202}
    return [item["transfer"]["id"] for item in items]


@needs_a_small_disk
def test_a_full_disk_is_waited_for(stack: Stack, bank: Bank, parties: tuple[Session, str, str]) -> None:
    alice, source, to = parties
    before = alice.balance(source)
    log = stack.layout.log("postgres")
    with filled(stack.layout.home("postgres")):
        transfers = _batch(alice, source, to, 1_000)
        until(lambda: "No space left on device" in log.read_text(errors="replace"))
        assert alice.balance(source) == before
    if stack.pid("postgres") is None:
        # Without room for its log PostgreSQL stops rather than lose a commit; somebody starts it again.
        stack.start_servers(["postgres"])
    until(lambda: all_completed(alice, transfers[:5] + transfers[-5:]))
    book_is_clean(stack)


def test_a_database_that_refuses_writes_is_waited_for(
    stack: Stack, bank: Bank, parties: tuple[Session, str, str]
) -> None:
    """As after a failover to a standby, or an operator's safety catch."""
    alice, source, to = parties
    before = alice.balance(source)
    _set_read_only(stack, "SET default_transaction_read_only = on")
    try:
        transfers = _batch(alice, source, to, 100)
        until(lambda: "database_down" in stack.layout.log("transfer").read_text())
        assert alice.balance(source) == before
        assert {alice.get(f"/transfers/{transfer}")["status"] for transfer in transfers[:3]} == {"pending"}
    finally:
        _set_read_only(stack, "RESET default_transaction_read_only")
    until(lambda: all_completed(alice, transfers))
    book_is_clean(stack)


def _set_read_only(stack: Stack, change: str) -> None:
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"], autocommit=True) as connection:
        connection.execute(f"ALTER ROLE remit_transfer {change}".encode())
    # Sessions keep the settings that they began with.
    end_sessions(stack.env["REMIT_TRANSFER_POSTGRES_URL"])
