"""The reconciler on real servers: what downstream lost is published again, and nothing else; no row is passed over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any
from unittest.mock import AsyncMock
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import Stack
from remit.invariants import Status as BookStatus
from remit.invariants import check_all
from services.audit.domain import entry_of
from services.audit.service import open_service as open_audit
from services.audit.settings import settings_from as audit_settings
from services.fraud import reconcile as fraud
from services.fraud.service import open_service as open_fraud
from services.fraud.settings import settings_from as fraud_settings
from services.fraud.store import Store as FraudStore
from services.ledger.service import open_service as open_ledger
from services.ledger.settings import settings_from as ledger_settings
from services.transfer import reconcile as transfer
from services.transfer.service import open_service as open_transfer
from services.transfer.settings import settings_from as transfer_settings
from services.transfer.store import Store as TransferStore
from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.contracts.transfer import AccountChanged, Status, TransferSettled
from shared.database import Database, open_database
from shared.messaging.connection import BrokerUnavailable, Link
from shared.messaging.publisher import Emission, Publisher
from shared.messaging.reconciler import Bounds, Position, Reconciler, Source, Sweep
from shared.runtime import Worker
from tests.support.broker import BrokerProbe
from tests.support.builders import ALICE, account_command, requested
from tests.support.databases import wipe
from tests.support.running import running
from tests.support.services import Services, deposit, ids, in_process
from tests.support.waiting import eventually

NOW = Bounds(grace_s=0, items_max=5_000)


@pytest.fixture
async def services(servers: Stack, owner: Database) -> AsyncIterator[Services]:
    """Stores over an empty book: a repair looks at all of it."""
    await wipe(owner)
    async with in_process(servers) as services:
        yield services


@dataclass(frozen=True)
class Outbox:
    """A source with what a sweep of it needs, and the names that a test needs to look behind it."""

    source: Source
    publisher: Publisher
    database: Database
    url: str
    table: str
    lock_key: int

    def sweep(self, bounds: Bounds = NOW) -> Sweep:
        """As a process that has just started would make it."""
        return Sweep(self.source, self.publisher, bounds)


@pytest.fixture
async def outboxes(servers: Stack) -> AsyncIterator[dict[str, Outbox]]:
    """The three sources, each as its service wires it."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        links = [await enter(Link(_amqp(servers, name), name="tests").opened()) for name in ("fraud", "transfer")]
        publishers = [Publisher(link, timeout_s=5) for link in links]
        of_fraud = fraud_settings(servers.service_settings("fraud"))
        of_transfer = transfer_settings(servers.service_settings("transfer"))
        decided = await enter(open_database(of_fraud.database_url, name="tests", schema="fraud"))
        settled = await enter(open_database(of_transfer.database_url, name="tests", schema="transfer"))
        from_fraud = await enter(fraud.open_downstream(of_fraud))
        from_transfer = await enter(transfer.open_downstream(of_transfer))
        as_fraud = (publishers[0], decided, of_fraud.database_url)
        as_transfer = (publishers[1], settled, of_transfer.database_url)
        decisions = fraud.Decisions(decided, from_fraud)
        transactions = transfer.Transactions(settled, from_transfer)
        commands = transfer.Commands(settled, from_transfer)
        yield {
            "decisions": Outbox(decisions, *as_fraud, "fraud.decisions", fraud.LOCK_KEY),
            "transactions": Outbox(transactions, *as_transfer, "transfer.transactions", transfer.LOCK_KEY),
            "commands": Outbox(commands, *as_transfer, "transfer.commands", transfer.LOCK_KEY),
        }


def _amqp(servers: Stack, service: str) -> str:
    return servers.service_settings(service)[f"REMIT_{service.upper()}_AMQP_URL"]


async def final(owner: Database, table: str) -> None:
    """Waits until no running transaction, PostgreSQL's own included, is older than what was committed."""

    async def is_final() -> bool:
        found: bool = await owner.fetchval(
            f"""
            SELECT coalesce(max(xid::text::bigint), 0) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
              FROM {table}
            """
        )
        return found

    await eventually(is_final)


def key_of(event: Message) -> UUID:
    """The primary key of the row that stands for an event."""
    if isinstance(event, AccountChanged):
        return event.command_id
    assert isinstance(event, TransferScreened | TransferSettled)
    return event.instruction.transfer_id


Make = Callable[[Services, int], Awaitable[list[Message]]]


async def make_decisions(services: Services, count: int) -> list[Message]:
    return [*await services.decide(*(requested(owner_id=uuid4()) for _ in range(count)))]


async def make_transactions(services: Services, count: int) -> list[Message]:
    opened = await services.open_accounts(1)
    [account] = ids(opened)
    deposits = await services.decide(*(deposit(account, 1) for _ in range(count)))
    settled = await services.settle(deposits)
    await services.tell([*opened, *deposits])
    return [*settled]


async def make_commands(services: Services, count: int) -> list[Message]:
    return [*await services.open_accounts(count)]


async def deliver(services: Services, events: Sequence[Message]) -> None:
    """Every service downstream takes these."""
    screened = [event for event in events if isinstance(event, TransferScreened)]
    settled = await services.settle(screened) if screened else []
    await services.tell([*events, *settled])


SOURCES: dict[str, tuple[str, Make]] = {
    "decisions": (TransferScreened.TYPE, make_decisions),
    "transactions": (TransferSettled.TYPE, make_transactions),
    "commands": (AccountChanged.TYPE, make_commands),
}
each_source = pytest.mark.parametrize("name", SOURCES)


async def one_by_one(services: Services, make: Make, count: int) -> list[Message]:
    """Rows of so many transactions, in their order."""
    return [(await make(services, 1))[0] for _ in range(count)]


async def position(outbox: Outbox, event: Message) -> Position:
    """Where an event's row stands, as its source counts."""
    found = await outbox.source.page(outbox.source.beginning, 10_000, final_only=False)
    return next(row.position for row in found if row.key == key_of(event))


@each_source
async def test_nothing_is_published_when_nothing_is_missing(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database, name: str
) -> None:
    outbox, (message_type, make) = outboxes[name], SOURCES[name]
    events = await make(services, 5)
    await deliver(services, events)
    await final(owner, outbox.table)
    told = await broker.listen(message_type)
    assert await outbox.sweep().run() == 0
    assert await told.so_far() == []
    found = await outbox.source.page(outbox.source.beginning, 100, final_only=True)
    assert await outbox.source.read_watermark() == found[-1].position


@each_source
async def test_exactly_what_is_missing_is_published_as_it_was_first(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database, name: str
) -> None:
    """Everything was published, and the queues lost a part of it."""
    outbox, (message_type, make) = outboxes[name], SOURCES[name]
    events = await make(services, 20)
    await outbox.publisher.emit(Emission(events=events))
    for queue in topology.queues_of(message_type):
        await broker.purge(queue)
    await deliver(services, events[::3])
    await final(owner, outbox.table)
    told = await broker.listen(message_type)
    lost = [event for n, event in enumerate(events) if n % 3]
    assert await outbox.sweep().run() == len(lost)
    assert sorted(await told.so_far(), key=key_of) == sorted(lost, key=key_of)


async def test_a_batch_that_is_published_again_keeps_its_order(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database
) -> None:
    """Transfers of one call are applied in order, so they must arrive in it; and nobody waits for them any more."""
    first = await services.decide(*(requested(owner_id=ALICE, reply_to="gw-1") for _ in range(20)))
    second = await services.decide(*(requested(owner_id=ALICE) for _ in range(20)))
    await final(owner, "fraud.decisions")
    told = await broker.listen(TransferScreened.TYPE)
    await outboxes["decisions"].sweep().run()
    found = await told.so_far()
    assert [key_of(event) for event in found] == [key_of(event) for event in (*first, *second)]
    assert {event.reply_to for event in found if isinstance(event, TransferScreened)} == {""}


async def test_an_outcome_is_missing_until_everybody_whom_it_concerns_has_seen_it(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database
) -> None:
    """Ledger a completed one, fraud a failed one, audit each."""
    a, b = ids(await services.open_accounts(2))
    await services.transfer_all(deposit(a, 10_000))
    ends = {Status.COMPLETED: 10, Status.FAILED: 20_000, Status.BLOCKED: 100_000_001}
    missing = []
    for status, taken, audited in product(Status, (False, True), (False, True)):
        asked = requested(from_account_id=a, to_account_id=b, amount_minor=ends[status])
        [settled] = await services.settle(await services.decide(asked))
        assert settled.status is status
        if taken and status is Status.COMPLETED:
            await services.ledger.book([settled])
        if taken and status is Status.FAILED:
            await services.fraud.release([settled])
        if audited:
            await services.audit.record([entry_of(settled)])
        if not (audited and (taken or status is Status.BLOCKED)):
            missing.append(settled)
    await final(owner, "transfer.transactions")
    told = await broker.listen(TransferSettled.TYPE)
    assert await outboxes["transactions"].sweep().run() == 3 + 3 + 2
    assert sorted(await told.so_far(), key=key_of) == sorted(missing, key=key_of)


@each_source
async def test_the_watermark_does_not_pass_a_row_that_is_missing(
    services: Services, outboxes: dict[str, Outbox], owner: Database, name: str
) -> None:
    """Three are there, the fourth is not, the others are; once it is there, too, the mark goes on to the last."""
    outbox, (_, make) = outboxes[name], SOURCES[name]
    events = await one_by_one(services, make, 6)
    await deliver(services, events[:3] + events[4:])
    await final(owner, outbox.table)
    sweep = outbox.sweep()
    assert await sweep.run() == 1
    assert await outbox.source.read_watermark() == await position(outbox, events[3])
    # Whoever starts anew begins there and finds it, too.
    assert await outbox.sweep().run() == 1
    await deliver(services, events[3:4])
    assert await sweep.run() == 0
    assert await outbox.source.read_watermark() == await position(outbox, events[5])


@each_source
async def test_the_watermark_never_goes_back(
    services: Services, outboxes: dict[str, Outbox], owner: Database, name: str
) -> None:
    outbox, (_, make) = outboxes[name], SOURCES[name]
    await deliver(services, await one_by_one(services, make, 2))
    await final(owner, outbox.table)
    await outbox.sweep().run()
    reached = await outbox.source.read_watermark()
    await outbox.source.move_watermark(outbox.source.beginning)
    assert await outbox.source.read_watermark() == reached > outbox.source.beginning


async def write(name: str, database: Database, services: Services) -> UUID:
    """One row by way of this database, and its key; it locks nothing that others need."""
    if name == "decisions":
        limits = services.fraud._limits
        [decided] = await FraudStore(database, limits).screen([requested(owner_id=uuid4())])
        return key_of(decided.event)
    if name == "transactions":
        ended = await TransferStore(database).settle(await services.decide(requested(owner_id=uuid4())), retries=0)
        return next(iter(ended))
    return key_of((await TransferStore(database).apply([account_command()]))[0])


@each_source
async def test_the_watermark_does_not_pass_the_oldest_running_transaction(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database, name: str
) -> None:
    """What was written earlier and is committed later must not slip below it."""
    outbox, (message_type, make) = outboxes[name], SOURCES[name]
    told, sweep = await broker.listen(message_type), outbox.sweep()
    async with another(outbox) as slow:
        async with slow.transaction() as connection:
            late = await write(name, slow, services)
            xid = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
            early = await make(services, 1)
            await deliver(services, early)
            assert await sweep.run() == 0
            assert (await outbox.source.read_watermark())[0] <= xid
        await final(owner, outbox.table)
        assert await sweep.run() == 1
    assert [key_of(event) for event in await told.so_far()] == [late]


@asynccontextmanager
async def another(outbox: Outbox) -> AsyncIterator[Database]:
    """A connection of another process of the same service."""
    schema = outbox.table.partition(".")[0]
    async with open_database(outbox.url, name="tests", schema=schema) as database:
        yield database


_AGES = {"decisions": "decided_at", "transactions": "settled_at", "commands": "created_at"}


@each_source
async def test_what_is_younger_than_the_grace_is_left_alone(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database, name: str
) -> None:
    """Its message is most likely on its way."""
    outbox, (message_type, make) = outboxes[name], SOURCES[name]
    events = await one_by_one(services, make, 4)
    await final(owner, outbox.table)
    told, sweep = await broker.listen(message_type), outbox.sweep(Bounds(grace_s=60, items_max=5_000))
    assert await sweep.run() == 0
    assert await outbox.source.read_watermark() == outbox.source.beginning
    for event in events[:2]:
        start = await position(outbox, event)
        older = f"{_AGES[name]} = {_AGES[name]} - interval '61 seconds'"
        await owner.fetch(f"UPDATE {outbox.table} SET {older} WHERE xid::text::bigint = $1", start[0])
    await final(owner, outbox.table)
    assert await sweep.run() == 2
    assert [key_of(event) for event in await told.so_far()] == [key_of(event) for event in events[:2]]


@each_source
async def test_what_stays_missing_is_published_ever_more_rarely_until_the_broker_comes_back(
    services: Services, outboxes: dict[str, Outbox], owner: Database, name: str
) -> None:
    """A consumer that was away must not come back to a queue full of repetitions."""
    outbox, (_, make) = outboxes[name], SOURCES[name]
    await make(services, 1)
    await final(owner, outbox.table)
    sweep = outbox.sweep()
    assert [await sweep.run() for _ in range(9)] == [1, 1, 0, 1, 0, 0, 0, 1, 0]
    sweep.expect_loss()
    assert [await sweep.run() for _ in range(3)] == [1, 1, 0]


async def test_a_sweep_publishes_no_more_than_its_bound_and_the_next_ones_the_rest(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database
) -> None:
    outbox = outboxes["commands"]
    events = await services.open_accounts(10)
    await final(owner, outbox.table)
    told, sweep = await broker.listen(AccountChanged.TYPE), outbox.sweep(Bounds(grace_s=0, items_max=4))
    for count in (4, 4, 2, 0):
        assert await sweep.run() == count
        await services.tell(await told.so_far())
    assert sorted(told.items, key=key_of) == sorted(events, key=key_of)


async def test_what_could_not_be_published_is_still_due_and_holds_the_watermark(
    services: Services, outboxes: dict[str, Outbox], owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = outboxes["transactions"]
    await make_transactions(services, 3)
    await final(owner, outbox.table)
    sweep = outbox.sweep()
    with monkeypatch.context() as patched:
        patched.setattr(Publisher, "publish", AsyncMock(side_effect=BrokerUnavailable))
        for _ in range(2):
            with pytest.raises(BrokerUnavailable):
                await sweep.run()
    assert await outbox.source.read_watermark() == outbox.source.beginning
    assert await sweep.run() == 3


async def test_a_second_process_does_nothing_while_the_first_holds_the_lock(
    services: Services, outboxes: dict[str, Outbox], owner: Database
) -> None:
    outbox = outboxes["transactions"]
    await make_transactions(services, 3)
    await final(owner, outbox.table)
    reconciler = Reconciler(outbox.database, [outbox.sweep()], lock_key=outbox.lock_key, every_s=3_600)
    async with another(outbox) as first, first.advisory_lock(outbox.lock_key) as held:
        assert held
        assert await reconciler.once() is None
    assert await reconciler.once() == 3


async def test_trouble_postpones_a_sweep_and_ends_nothing(
    services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database
) -> None:
    """The broker was lost in the middle; when it is back there is a sweep at once."""
    outbox = outboxes["transactions"]
    events = await make_transactions(services, 3)
    await final(owner, outbox.table)
    told, failed = await broker.listen(TransferSettled.TYPE), asyncio.Event()

    class Unlucky(Sweep):
        async def run(self) -> int:
            if not failed.is_set():
                failed.set()
                raise BrokerUnavailable
            return await super().run()

    sweep = Unlucky(outbox.source, outbox.publisher, NOW)
    reconciler = Reconciler(outbox.database, [sweep], lock_key=outbox.lock_key, every_s=3_600)
    running_on = asyncio.create_task(reconciler.run())
    reconciler.on_connect()
    await failed.wait()
    reconciler.on_connect()
    assert sorted(await told.at_least(3), key=key_of) == sorted(events, key=key_of)
    running_on.cancel()
    await asyncio.gather(running_on, return_exceptions=True)


@pytest.mark.parametrize("name", ["decisions", "commands"])
async def test_a_worker_sweeps_as_soon_as_it_meets_the_broker(
    servers: Stack, services: Services, broker: BrokerProbe, owner: Database, name: str
) -> None:
    message_type, make = SOURCES[name]
    events = await make(services, 5)
    await final(owner, f"{'fraud' if name == 'decisions' else 'transfer'}.{name}")
    told = await broker.listen(message_type)
    async with AsyncExitStack() as stack:
        service = "fraud" if name == "decisions" else "transfer"
        await work(stack, servers, service, {f"REMIT_{service.upper()}_RECONCILE_GRACE_S": "0"})
        assert sorted(await told.at_least(5), key=key_of) == sorted(events, key=key_of)


_WORKERS: dict[str, tuple[Callable[[Any], AbstractAsyncContextManager[Worker]], Callable[[dict[str, str]], Any]]] = {
    "fraud": (open_fraud, fraud_settings),
    "transfer": (open_transfer, transfer_settings),
    "ledger": (open_ledger, ledger_settings),
    "audit": (open_audit, audit_settings),
}


async def work(stack: AsyncExitStack, servers: Stack, service: str, more: dict[str, str] | None = None) -> None:
    """Runs a worker until `stack` ends."""
    open_service, settings_from = _WORKERS[service]
    own = {f"REMIT_{service.upper()}_HTTP_PORT": "0", **(more or {})}
    worker = await stack.enter_async_context(open_service(settings_from({**servers.service_settings(service), **own})))
    await stack.enter_async_context(running(worker))


async def test_repair_publishes_all_that_is_missing_once(
    servers: Stack, services: Services, broker: BrokerProbe
) -> None:
    """More than a page of rows, in few and in many transactions, a part of them present."""
    settled = [*await make_transactions(services, 1_700), *await one_by_one(services, make_transactions, 20)]
    decided = await make_decisions(services, 2_100)
    opened = await make_commands(services, 30)
    await deliver(services, [*settled[100:1_500], *decided[500:600], *opened[:10]])
    told = {name: await broker.listen(message_type) for name, (message_type, _) in SOURCES.items()}
    assert await fraud.repair(servers.env) == 2_000
    # Its own 100 decisions have become rows that nobody was told of.
    assert await transfer.repair(servers.env) == 320 + 20
    missing = {
        "decisions": decided[:500] + decided[600:],
        "commands": opened[10:],
        "transactions": settled[:100] + settled[1_500:],
    }
    for name, events in missing.items():
        assert sorted(await told[name].so_far(), key=key_of) == sorted(events, key=key_of)


async def test_repair_looks_below_the_watermark(
    servers: Stack, services: Services, outboxes: dict[str, Outbox], broker: BrokerProbe, owner: Database
) -> None:
    """The ledger has come back from an older copy: what was proven present is missing again."""
    outbox = outboxes["transactions"]
    events = await one_by_one(services, make_transactions, 2)
    await deliver(services, events)
    await final(owner, outbox.table)
    await outbox.sweep().run()
    await owner.fetch("DELETE FROM ledger.ledger_entries WHERE transfer_id = $1", key_of(events[0]))
    told = await broker.listen(TransferSettled.TYPE)
    assert await outbox.sweep().run() == 0
    assert await transfer.repair(servers.env) == 1
    assert await told.so_far() == events[:1]


async def test_a_broker_that_lost_everything_is_made_good_by_repair(
    servers: Stack, services: Services, broker: BrokerProbe
) -> None:
    """Transfers were settled and told, and their messages lost before anybody took them; then all workers run."""
    accounts = ids(await services.open_accounts(2))
    decided = await services.decide(*(deposit(account, 10_000) for account in accounts))
    asked = [requested(from_account_id=accounts[0], to_account_id=x) for x in (accounts[1], accounts[1], uuid4())]
    decided += await services.decide(*asked)
    pending = await services.decide(requested(from_account_id=accounts[0], to_account_id=accounts[1]))
    told = await broker.listen(TransferSettled.TYPE)
    async with AsyncExitStack() as stack:
        await work(stack, servers, "transfer")
        await broker.publish(decided)
        await told.at_least(len(decided))
    for queue in topology.QUEUES:
        await broker.purge(queue.name)

    assert await fraud.repair(servers.env) == len(decided) + len(pending)
    assert await transfer.repair(servers.env) == len(decided) + len(accounts)

    async def is_whole() -> bool:
        return await fraud.repair(servers.env) == 0 and await transfer.repair(servers.env) == 0

    async with AsyncExitStack() as stack:
        for service in _WORKERS:
            await work(stack, servers, service)
        await eventually(is_whole)
        results = await check_all(servers.env, strict=True)
    assert [result for result in results if result.status is not BookStatus.OK] == []
