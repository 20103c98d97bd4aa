"""Transient trouble of the database, made for real: what is retried, what it costs, and that nothing is half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from uuid import UUID

import pytest

from deploy.local.stack import Stack
from services.transfer.handlers import handlers
from services.transfer.store import Store
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import Kind, OpenAccount
from shared.contracts.transfer import Status, TransferSettled
from shared.database import Database, open_database
from shared.ids import settlement_account_id
from shared.messaging import retry
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.retry import ServerDown, carry
from tests.support.builders import ALICE, account_command, screened
from tests.support.databases import end_sessions, out_of_luck
from tests.support.waiting import eventually

NAME = "remit_transfer under trial"


@pytest.fixture
async def database(servers: Stack) -> AsyncIterator[Database]:
    url = servers.env["REMIT_TRANSFER_POSTGRES_URL"]
    async with open_database(url, name=NAME, schema="transfer") as database:
        yield database


@pytest.fixture
async def pair(database: Database) -> tuple[UUID, UUID]:
    """Two accounts of Alice with 100.00 each, in the order of their ids."""
    store = Store(database)
    commands = [account_command(OpenAccount(owner_id=ALICE, name="A", currency="USD")) for _ in range(2)]
    await store.apply(commands)
    a, b = sorted(command.command_id for command in commands)
    source = settlement_account_id("USD")
    deposits = [
        screened(kind=Kind.DEPOSIT, from_account_id=source, to_account_id=account, amount_minor=10_000)
        for account in (a, b)
    ]
    await store.settle(deposits, retries=0)
    return a, b


async def settle(database: Database, item: TransferScreened) -> TransferSettled:
    """One item through the handler, with all its retries."""
    handler = handlers(database, Store(database), DeadLetters(database))[TransferScreened.TYPE]
    [event] = (await carry(handler, [item])).events
    assert isinstance(event, TransferSettled)
    return event


async def waits_for_a_lock(owner: Database) -> bool:
    return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def balances(owner: Database, *accounts: UUID) -> list[int]:
    found = await owner.fetch(
        "SELECT id, balance_minor FROM transfer.accounts WHERE id = ANY($1::uuid[])", list(accounts)
    )
    by_id = {row["id"]: row["balance_minor"] for row in found}
    return [by_id[account] for account in accounts]


async def test_a_backend_that_is_terminated_half_way_costs_one_retry(
    database: Database, owner: Database, pair: tuple[UUID, UUID], servers: Stack
) -> None:
    """Its transaction is rolled back whole; the retry, on a new connection, does it once."""
    a, b = pair
    async with owner.transaction() as connection:
        await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR UPDATE", b)
        settling = asyncio.create_task(settle(database, screened(from_account_id=a, to_account_id=b)))
        await eventually(partial(waits_for_a_lock, owner))
        end_sessions(servers.env["REMIT_TRANSFER_POSTGRES_URL"], application=NAME)
    settled = await settling
    assert (settled.status, settled.retry_count) == (Status.COMPLETED, 1)
    assert await balances(owner, a, b) == [9_000, 11_000]


async def test_a_deadlock_made_by_somebody_else_costs_one_retry(
    database: Database, owner: Database, pair: tuple[UUID, UUID]
) -> None:
    """Somebody locks in the wrong order. The worker waited first, so PostgreSQL finds the knot in it and refuses it."""
    a, b = pair
    async with owner.transaction() as connection:
        await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR UPDATE", b)
        settling = asyncio.create_task(settle(database, screened(from_account_id=a, to_account_id=b)))
        await eventually(partial(waits_for_a_lock, owner))
        await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR UPDATE", a)
    settled = await settling
    assert (settled.status, settled.retry_count) == (Status.COMPLETED, 1)
    assert await balances(owner, a, b) == [9_000, 11_000]


async def test_trouble_that_never_ends_fails_the_transfer_after_three_retries(
    database: Database, owner: Database, pair: tuple[UUID, UUID]
) -> None:
    """The server answers, others can write: the transfer alone cannot, and says so. Balances are as before."""
    a, b = pair
    async with out_of_luck(owner, a):
        settled = await settle(database, screened(from_account_id=a, to_account_id=b))
    assert (settled.status, settled.failure_reason, settled.retry_count) == ("failed", "retries_exhausted", 3)
    assert await balances(owner, a, b) == [10_000, 10_000]


@pytest.mark.usefixtures("short_locks")
async def test_a_lock_that_is_held_for_longer_than_all_tries_fails_nothing(
    database: Database, owner: Database, pair: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a sibling was frozen between its locks and its COMMIT: the transfer goes back, and ends when they go."""
    monkeypatch.setattr(retry, "RETRY_WAITS_S", (0.0, 0.0, 0.0))
    a, b = pair
    source = settlement_account_id("USD")
    deposit = screened(kind=Kind.DEPOSIT, from_account_id=source, to_account_id=a)
    async with owner.transaction() as connection:
        await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR NO KEY UPDATE", source)
        with pytest.raises(ServerDown):
            await settle(database, deposit)
        # Who does not need it passes.
        assert (await settle(database, screened(from_account_id=a, to_account_id=b))).status is Status.COMPLETED
    settled = await settle(database, deposit)
    assert (settled.status, settled.retry_count) == (Status.COMPLETED, 0)
    assert await balances(owner, a, b) == [10_000, 11_000]


async def test_a_business_error_is_never_retried(database: Database, owner: Database, pair: tuple[UUID, UUID]) -> None:
    a, b = pair
    settled = await settle(database, screened(from_account_id=a, to_account_id=b, amount_minor=10_001))
    assert (settled.failure_reason, settled.retry_count) == ("insufficient_funds", 0)
    assert await balances(owner, a, b) == [10_000, 10_000]


async def test_transactions_nest_and_an_inner_failure_undoes_the_inner_alone(
    database: Database, owner: Database, pair: tuple[UUID, UUID]
) -> None:
    a, b = pair
    rename = "UPDATE accounts SET name = $2 WHERE id = $1"
    async with database.transaction() as outer:
        await outer.execute(rename, a, "outer")
        with pytest.raises(ZeroDivisionError):
            async with database.transaction() as inner:
                await inner.execute(rename, b, "inner")
                raise ZeroDivisionError
    names = await owner.fetch("SELECT name FROM transfer.accounts WHERE id = ANY($1::uuid[]) ORDER BY id", [a, b])
    assert [row["name"] for row in names] == ["outer", "A"]


async def test_an_outer_failure_undoes_everything(database: Database, owner: Database, pair: tuple[UUID, UUID]) -> None:
    a, _ = pair
    with pytest.raises(ZeroDivisionError):
        async with database.transaction():
            async with database.transaction() as inner:
                await inner.execute("UPDATE accounts SET name = 'inner' WHERE id = $1", a)
            raise ZeroDivisionError
    assert await owner.fetchval("SELECT name FROM transfer.accounts WHERE id = $1", a) == "A"
