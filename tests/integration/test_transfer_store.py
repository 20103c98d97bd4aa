"""Transfer's store on a real PostgreSQL: once each, whatever meets whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import Stack
from services.transfer.handlers import handlers
from services.transfer.store import Store
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import CloseAccount, Kind, OpenAccount, RenameAccount
from shared.contracts.transfer import CommandOutcome, FailureReason, Status, TransferSettled
from shared.database import Database, open_database
from shared.ids import settlement_account_id
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.retry import carry
from tests.support.builders import ALICE, account_command, screened
from tests.support.waiting import eventually


@pytest.fixture
async def databases(servers: Stack) -> AsyncIterator[list[Database]]:
    """Four pools, as four workers would have them."""
    async with AsyncExitStack() as stack:
        url = servers.env["REMIT_TRANSFER_POSTGRES_URL"]
        yield [
            await stack.enter_async_context(open_database(url, name=f"test {n}", schema="transfer")) for n in range(4)
        ]


@pytest.fixture
def stores(databases: list[Database]) -> list[Store]:
    return [Store(database) for database in databases]


@pytest.fixture
def store(stores: list[Store]) -> Store:
    return stores[0]


async def funded(store: Store, count: int, amount_minor: int = 10_000) -> list[UUID]:
    """Accounts of Alice, each with this much on it."""
    commands = [account_command(OpenAccount(owner_id=ALICE, name="A", currency="USD")) for _ in range(count)]
    await store.apply(commands)
    accounts = [command.command_id for command in commands]
    source = settlement_account_id("USD")
    deposits = [
        screened(kind=Kind.DEPOSIT, from_account_id=source, to_account_id=account, amount_minor=amount_minor)
        for account in accounts
    ]
    await store.settle(deposits, retries=0)
    return accounts


async def balances(owner: Database, accounts: Sequence[UUID]) -> list[tuple[int, int]]:
    rows = await owner.fetch(
        "SELECT id, balance_minor, account_seq FROM transfer.accounts WHERE id = ANY($1::uuid[])", list(accounts)
    )
    found = {row["id"]: (row["balance_minor"], row["account_seq"]) for row in rows}
    return [found[account] for account in accounts]


async def test_a_row_gives_back_the_event_it_was_made_from(store: Store) -> None:
    a, b = await funded(store, 2)
    items = [
        screened(from_account_id=a, to_account_id=b),
        screened(from_account_id=a, to_account_id=b, amount_minor=99_999, description="too much", idempotency_key="k"),
        screened(from_account_id=uuid4(), to_account_id=b),
    ]
    first = await store.settle(items, retries=0)
    assert await store.settle(items, retries=3) == first
    assert [first[item.instruction.transfer_id].failure_reason for item in items] == [
        None,
        FailureReason.INSUFFICIENT_FUNDS,
        FailureReason.ACCOUNT_NOT_FOUND,
    ]


async def test_a_transfer_twice_in_a_batch_moves_money_once(store: Store, owner: Database) -> None:
    a, b = await funded(store, 2)
    item = screened(from_account_id=a, to_account_id=b)
    await store.settle([item, item, item], retries=0)
    assert await balances(owner, [a, b]) == [(9_000, 2), (11_000, 2)]


async def test_two_workers_with_the_same_transfers_move_money_once(stores: list[Store], owner: Database) -> None:
    a, b = await funded(stores[0], 2)
    items = [screened(from_account_id=a, to_account_id=b, amount_minor=10) for _ in range(50)]
    results = await asyncio.gather(*(store.settle(items, retries=0) for store in stores))
    assert all(result == results[0] for result in results)
    assert await balances(owner, [a, b]) == [(9_500, 51), (10_500, 51)]


async def test_the_key_decides_where_no_account_can_be_locked(databases: list[Database]) -> None:
    """Both accounts unknown: nothing to lock. The loser of the race runs its whole batch again and finds the row."""
    items = [screened(from_account_id=uuid4(), to_account_id=uuid4()) for _ in range(20)]

    async def work(database: Database) -> list[TransferSettled]:
        handler = handlers(database, Store(database), DeadLetters(database))[TransferScreened.TYPE]
        emission = await carry(handler, items)
        return [event for event in emission.events if isinstance(event, TransferSettled)]

    results = await asyncio.gather(*(work(database) for database in databases))
    assert all(result == results[0] for result in results)
    assert {settled.status for settled in results[0]} == {Status.FAILED}


async def test_the_time_of_settling_is_read_after_all_locks(stores: list[Store], databases: list[Database]) -> None:
    """Read before, it could stand before that of the transfer which the lock was waited for."""
    a, b = await funded(stores[0], 2)
    # The account that is locked last, so that the others' clock has long been read.
    waited_for = max(a, b)
    async with databases[1].transaction() as connection:
        await connection.fetch("SELECT FROM accounts WHERE id = $1 FOR UPDATE", waited_for)
        item = screened(from_account_id=a, to_account_id=b)
        settling = asyncio.create_task(stores[0].settle([item], retries=0))
        await eventually(lambda: is_waiting(databases[2]))
        released_at = await connection.fetchval("SELECT clock_timestamp()")
    [settled] = (await settling).values()
    assert settled.settled_at > released_at


async def is_waiting(database: Database) -> bool:
    """Whether anybody waits for a row's lock."""
    waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('tuple', 'transactionid'))"
    return bool(await database.fetchval(waiting))


async def test_opposing_transfers_meet_without_deadlock_or_lost_update(stores: list[Store], owner: Database) -> None:
    """200 pairs forth and back at once in four workers: locks taken as asked would deadlock."""
    accounts = await funded(stores[0], 20)
    pairs = [(accounts[n % 20], accounts[(n * 7 + 3) % 20]) for n in range(200)]
    pairs = [(a, b) for a, b in pairs if a != b]

    async def one(n: int, source: UUID, to: UUID) -> None:
        await stores[n % 4].settle([screened(from_account_id=source, to_account_id=to, amount_minor=10)], retries=0)

    await asyncio.gather(
        *(one(n, a, b) for n, (a, b) in enumerate(pairs)), *(one(n + 2, b, a) for n, (a, b) in enumerate(pairs))
    )
    after = await balances(owner, accounts)
    assert [balance for balance, _ in after] == [10_000] * 20
    assert sum(position for _, position in after) == 20 + 4 * len(pairs)


async def test_a_failure_half_way_leaves_nothing(store: Store, owner: Database) -> None:
    """The second half of the batch cannot be written: the first half is not either."""
    a, b = await funded(store, 2)
    good = screened(from_account_id=a, to_account_id=b)
    bad = screened(from_account_id=a, to_account_id=b, description="no \x00 in PostgreSQL")
    with pytest.raises(Exception, match="0x00"):
        await store.settle([good, bad], retries=0)
    assert await balances(owner, [a, b]) == [(10_000, 1), (10_000, 1)]


@pytest.fixture
async def broken_account(store: Store, owner: Database) -> AsyncIterator[UUID]:
    """An account whose row cannot be written, for a reason that is no lack of a server."""
    [account] = await funded(store, 1)
    async with owner.transaction() as connection:
        await connection.execute(f"""
            CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'broken' USING ERRCODE = '22000'; END $$;
            CREATE TRIGGER broken BEFORE UPDATE ON transfer.accounts
                FOR EACH ROW WHEN (NEW.id = '{account}') EXECUTE FUNCTION public.refuse();
        """)
    yield account
    async with owner.transaction() as connection:
        await connection.execute("DROP TRIGGER broken ON transfer.accounts; DROP FUNCTION public.refuse()")


async def test_an_item_that_fails_alone_is_failed_and_the_rest_is_settled(
    databases: list[Database], owner: Database, broken_account: UUID
) -> None:
    """Bisection finds it; the transfers around it are settled, and it is failed for an error of ours."""
    database, store = databases[0], Store(databases[0])
    a, b = await funded(store, 2)
    goods = [screened(from_account_id=a, to_account_id=b, amount_minor=10) for _ in range(7)]
    bad = screened(from_account_id=a, to_account_id=broken_account)
    handler = handlers(database, store, DeadLetters(database))[TransferScreened.TYPE]
    emission = await carry(handler, [*goods[:3], bad, *goods[3:]])
    failed = [e for e in emission.events if isinstance(e, TransferSettled) and e.status is Status.FAILED]
    assert [(e.instruction.transfer_id, e.failure_reason) for e in failed] == [
        (bad.instruction.transfer_id, FailureReason.INTERNAL_ERROR)
    ]
    assert len(emission.events) == 8
    assert await balances(owner, [a, b, broken_account]) == [(9_930, 8), (10_070, 8), (10_000, 1)]


async def test_a_command_applies_once_and_answers_the_same(store: Store) -> None:
    command = account_command()
    [first] = await store.apply([command])
    [again] = await store.apply([command])
    assert first == again
    assert first.outcome is CommandOutcome.APPLIED


async def test_a_command_id_with_another_payload_is_refused_and_named(store: Store) -> None:
    command = account_command()
    await store.apply([command])
    other = account_command(
        OpenAccount(owner_id=ALICE, name="Other", currency="USD"), command_id=command.command_id, fingerprint="v1:other"
    )
    [outcome] = await store.apply([other])
    assert outcome.outcome is CommandOutcome.IDEMPOTENCY_KEY_REUSED
    assert outcome.differing_fields == ("name",)


async def test_commands_of_one_batch_build_on_each_other(store: Store, owner: Database) -> None:
    opening = account_command()
    account_id = opening.account_id
    rename = account_command(RenameAccount(name="New"), account_id=account_id, owner_id=ALICE)
    close = account_command(CloseAccount(), account_id=account_id, owner_id=ALICE)
    outcomes = await store.apply([opening, rename, close])
    assert [outcome.outcome for outcome in outcomes] == [CommandOutcome.APPLIED] * 3
    row = await owner.fetchrow("SELECT name, version, is_deleted FROM transfer.accounts WHERE id = $1", account_id)
    assert row is not None
    assert tuple(row) == ("New", 3, True)


async def test_a_closed_account_neither_pays_nor_receives_from_the_next_transfer_on(store: Store) -> None:
    [a, b] = await funded(store, 2)
    empty = account_command()
    await store.apply([empty, account_command(CloseAccount(), account_id=empty.account_id, owner_id=ALICE)])
    item = screened(from_account_id=a, to_account_id=empty.account_id)
    settled = await store.settle([item], retries=0)
    assert settled[item.instruction.transfer_id].failure_reason is FailureReason.ACCOUNT_CLOSED
    assert b != a
