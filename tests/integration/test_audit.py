"""Audit on real servers: each event once, in one chain, which tells where somebody edited it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from deploy.local.stack import Stack
from services.audit.checkpoints import Checkpoints
from services.audit.domain import entry_of
from services.audit.service import open_service
from services.audit.settings import settings_from
from services.audit.store import Store
from shared.audit_chain.canonical import Entry
from shared.audit_chain.chain import Row, Tip, body_of, extend
from shared.audit_chain.stream import STREAM, open_stream
from shared.audit_chain.views import LogViews, row_of
from shared.audit_chain.walk import LogStatus, verify
from shared.contracts.base import Message
from shared.contracts.fraud import Verdict
from shared.contracts.gateway import ActivityRecorded
from shared.contracts.transfer import AccountChanged, CommandOutcome
from shared.database import Database
from shared.database.pool import SchemaOutOfStep
from tests.support.broker import BrokerProbe
from tests.support.builders import CONTEXT, NOON, screened, settled
from tests.support.databases import Inside, several, undone
from tests.support.running import running
from tests.support.waiting import eventually


@pytest.fixture
async def databases(servers: Stack) -> AsyncIterator[list[Database]]:
    async with several(servers.env["REMIT_AUDIT_POSTGRES_URL"], schema="audit") as databases:
        yield databases


@pytest.fixture
def store(databases: list[Database]) -> Store:
    return Store(databases[0])


def events(count: int) -> list[Message]:
    return [screened() if n % 2 else settled() for n in range(count)]


def activity(action: str, **changes: Any) -> ActivityRecorded:
    """A failed attempt that only the gateway saw."""
    fields = {"resource_type": "user", "status": "failed", "occurred_at": NOON, "context": CONTEXT, **changes}
    return ActivityRecorded(activity_id=uuid4(), action=action, **fields)


def entries(items: Sequence[Message]) -> list[Entry]:
    return [entry_of(item) for item in items]


async def positions(owner: Database, items: Sequence[Message]) -> list[int]:
    """Where each event stands in the chain, in the order of `items`; an event that stands twice gives two."""
    rows = await owner.fetch(
        """
        SELECT seq FROM unnest($1::uuid[]) WITH ORDINALITY AS asked (event_id, n)
          JOIN audit.audit_logs USING (event_id) ORDER BY n, seq
        """,
        [item.event_id for item in items],
    )
    return [row[0] for row in rows]


async def test_events_stand_in_order_of_arrival_in_a_chain_that_verifies(store: Store, owner: Database) -> None:
    items = events(25)
    await store.record(entries(items[:10]))
    await store.record(entries(items[10:]))
    found = await positions(owner, items)
    assert found == list(range(found[0], found[0] + 25))
    verified = await verify(LogViews(owner), page_rows=7)
    assert (verified.status, verified.first_bad) == (LogStatus.VERIFIED, None)
    assert verified.rows >= 25


async def test_an_event_is_counted_once_whatever_brings_it_again(store: Store, owner: Database) -> None:
    """Twice in a batch, and in later ones among new events; what was recorded is what is returned."""
    items = events(6)
    first = await store.record(entries([*items[:3], *items[:3]]))
    again = await store.record(entries([*items, items[5], items[0]]))
    assert [entry.event_id for entry in first] == [item.event_id for item in items[:3]]
    assert [entry.event_id for entry in again] == [item.event_id for item in items[3:]]
    assert len(await positions(owner, items)) == 6


async def test_a_conflict_is_an_event_of_its_own(store: Store, owner: Database) -> None:
    """The first payload's verdict, and each other payload that came under its id."""
    first = screened()
    transfer_id = first.instruction.transfer_id
    conflicts = [screened(Verdict.CONFLICT, transfer_id=transfer_id, fingerprint=f"v1:{n % 2}") for n in range(4)]
    assert len(await store.record(entries([first, *conflicts]))) == 3


async def test_four_workers_extend_one_chain_and_count_each_event_once(
    databases: list[Database], owner: Database
) -> None:
    """No gap, no fork, no repetition, though all have the same events, each in another order."""
    shared, own = events(20), [events(20) for _ in range(4)]

    async def work(n: int) -> int:
        store, recorded = Store(databases[n]), 0
        items = [*shared[n * 5 :], *own[n], *shared[: n * 5]]
        for start in range(0, len(items), 4):
            recorded += len(await store.record(entries(items[start : start + 4])))
        return recorded

    assert sum(await asyncio.gather(*(work(n) for n in range(4)))) == 100
    everything = [*shared, *(item for part in own for item in part)]
    found = sorted(await positions(owner, everything))
    assert found == list(range(found[0], found[0] + 100))
    assert (await verify(LogViews(owner))).status is LogStatus.VERIFIED


async def test_what_jsonb_makes_of_details_is_what_was_hashed(store: Store, owner: Database) -> None:
    """Order of keys, escapes, large numbers and text that only looks like JSON: the chain still verifies."""
    details = {
        "z": b'"a"',
        "a": b"9007199254740993",
        "\u00e9": b'"\\u20ac \\"quoted\\" \\n"',
        "n": b'{"b":[true,null],"a":{}}',
    }
    recorded = activity(
        "LOGIN",
        details={name: msgspec.Raw(text) for name, text in details.items()},
        error_message="no \x00 in PostgreSQL",
    )
    [entry] = await store.record([entry_of(recorded)])
    [seq] = await positions(owner, [recorded])
    row = await owner.fetchrow("SELECT error_message FROM audit.audit_logs WHERE seq = $1", seq)
    assert row is not None
    assert row["error_message"] == entry.error_message
    assert (await verify(LogViews(owner), after_seq=seq - 1)).rows == 1


@dataclass(frozen=True)
class Log:
    """Ten events that were recorded together, the checkpoint at the last of them, and one more event after it."""

    items: list[Message]
    first_seq: int

    @property
    def sixth_seq(self) -> int:
        return self.first_seq + 5

    @property
    def checkpoint_seq(self) -> int:
        return self.first_seq + 9


@pytest.fixture
async def log(store: Store, owner: Database) -> Log:
    items = events(11)
    await store.record(entries(items[:10]))
    await store.checkpoint()
    await store.record(entries(items[10:]))
    return Log(items, (await positions(owner, items))[0])


@asynccontextmanager
async def unguarded(owner: Database) -> AsyncIterator[Inside]:
    """A transaction, undone at the end, in which nothing guards the log from its owner."""
    async with undone(owner) as inside:
        for table in ("audit_logs", "event_ids", "checkpoints"):
            await inside.fetch(f"ALTER TABLE audit.{table} DISABLE TRIGGER USER")
        yield inside


async def found_bad(inside: Database) -> tuple[int, str]:
    verified = await verify(LogViews(inside))
    assert verified.status is LogStatus.BROKEN
    assert verified.first_bad is not None
    assert verified.rows == verified.first_bad.seq - 1
    return verified.first_bad.seq, verified.first_bad.reason


@pytest.mark.parametrize(
    "change",
    [
        "occurred_at = occurred_at + interval '1 microsecond'",
        "recorded_at = recorded_at + interval '1 microsecond'",
        "event_id = gen_random_uuid()",
        "user_id = gen_random_uuid()",
        "user_id = NULL",
        "action = 'LOGIN'",
        "resource_type = 'account'",
        "resource_id = resource_id || '0'",
        "status = 'failed'",
        "ip_address = '192.0.2.2'",
        "user_agent = NULL",
        "request_id = request_id || ' '",
        'details = details || \'{"amount": "10.01"}\'',
        "details = '{\"amount\": 1e999}'",
        "error_message = ''",
        "hash = sha256('')",
    ],
)
async def test_a_changed_cell_is_found_where_it_stands(log: Log, owner: Database, change: str) -> None:
    async with unguarded(owner) as inside:
        await inside.fetch(f"UPDATE audit.audit_logs SET {change} WHERE seq = $1", log.sixth_seq)
        assert await found_bad(inside) == (log.sixth_seq, "content_changed")
    assert (await verify(LogViews(owner))).status is LogStatus.VERIFIED


@pytest.mark.parametrize(
    ("edits", "reason"),
    [
        # A row goes; with all that knows it; and with its gap closed.
        (["DELETE FROM audit.audit_logs WHERE seq = $1"], "row_missing"),
        (["DELETE FROM audit.audit_logs WHERE seq = $1", "DELETE FROM audit.event_ids WHERE seq = $1"], "row_missing"),
        (
            ["DELETE FROM audit.audit_logs WHERE seq = $1", "UPDATE audit.audit_logs SET seq = $1 WHERE seq = $1 + 1"],
            "content_changed",
        ),
        # Two rows change places, alone or with their events.
        (
            [
                "UPDATE audit.audit_logs SET seq = 1000000000 WHERE seq = $1",
                "UPDATE audit.audit_logs SET seq = $1 WHERE seq = $1 + 1",
                "UPDATE audit.audit_logs SET seq = $1 + 1 WHERE seq = 1000000000",
            ],
            "content_changed",
        ),
        # A row comes twice: a partition edge could hide it from a unique key.
        (
            [
                "CREATE TEMPORARY TABLE copied ON COMMIT DROP AS SELECT * FROM audit.audit_logs WHERE seq = $1",
                "UPDATE copied SET recorded_at = recorded_at + interval '1 microsecond' WHERE seq = $1",
                "INSERT INTO audit.audit_logs SELECT * FROM copied WHERE seq = $1",
            ],
            "row_repeated",
        ),
        # The event would be taken for a new one, or another's.
        (["DELETE FROM audit.event_ids WHERE seq = $1"], "event_id_missing"),
        (["UPDATE audit.event_ids SET event_id = gen_random_uuid() WHERE seq = $1"], "event_id_differs"),
        # The end is cut off, and cut off wherever rows are known.
        (["DELETE FROM audit.audit_logs WHERE seq >= $1"], "row_missing"),
        (
            ["DELETE FROM audit.audit_logs WHERE seq >= $1", "DELETE FROM audit.event_ids WHERE seq >= $1"],
            "row_missing",
        ),
        # Everything between two points goes.
        (["DELETE FROM audit.audit_logs WHERE seq BETWEEN $1 AND $1 + 3"], "row_missing"),
    ],
)
async def test_a_row_that_is_not_where_it_was_recorded_is_found(
    log: Log, owner: Database, edits: list[str], reason: str
) -> None:
    async with unguarded(owner) as inside:
        for edit in edits:
            await inside.fetch(edit.replace("$1", str(log.sixth_seq)))
        assert await found_bad(inside) == (log.sixth_seq, reason)
    assert (await verify(LogViews(owner))).status is LogStatus.VERIFIED


async def test_an_end_that_is_cut_off_after_the_last_checkpoint_is_missed(log: Log, owner: Database) -> None:
    async with unguarded(owner) as inside:
        await inside.fetch("DELETE FROM audit.audit_logs WHERE seq > $1", log.checkpoint_seq)
        assert await found_bad(inside) == (log.checkpoint_seq + 1, "row_missing")


async def test_an_editor_who_computes_the_chain_anew_is_betrayed_by_the_checkpoint(log: Log, owner: Database) -> None:
    """The row under the checkpoint is changed and hashed as it should be, and so is the row after it."""
    async with unguarded(owner) as inside:
        row = await inside.fetchrow(
            "SELECT hash, recorded_at FROM audit.audit_logs WHERE seq = $1", log.checkpoint_seq - 1
        )
        assert row is not None
        tip = Tip(log.checkpoint_seq - 1, row["hash"])
        for item in log.items[9:]:
            entry = entry_of(item)._replace(user_id=None)
            recorded_at = await inside.fetchval("SELECT recorded_at FROM audit.audit_logs WHERE seq = $1", tip.seq + 1)
            [forged] = extend(tip, recorded_at, [body_of(entry)])
            tip = Tip(tip.seq + 1, forged)
            await inside.fetch("UPDATE audit.audit_logs SET user_id = NULL, hash = $2 WHERE seq = $1", *tip)
        assert await found_bad(inside) == (log.checkpoint_seq, "checkpoint_differs")


async def test_the_last_checkpoint_is_known_outside_the_database(
    servers: Stack, log: Log, owner: Database, store: Store
) -> None:
    """Where all that knows of the end is removed from the database, the stream still has its position and hash."""
    async with open_stream(servers.env["REMIT_REDIS_URL"]) as stream:
        await Checkpoints(store, stream, every_s=60).once()
    row = await owner.fetchrow("SELECT seq, hash FROM audit.checkpoints ORDER BY seq DESC LIMIT 1")
    assert row is not None
    assert row["seq"] == log.checkpoint_seq + 1
    async with Redis.from_url(servers.env["REMIT_REDIS_URL"], decode_responses=True) as redis:
        newest: Any = await redis.xrevrange(STREAM, count=1)
    [(_, told)] = newest
    assert (told["seq"], told["hash"]) == (str(row["seq"]), row["hash"].hex())


_CHANGES = [
    "UPDATE audit.{table} SET seq = seq",
    "DELETE FROM audit.{table}",
    "TRUNCATE audit.{table}",
]


@pytest.mark.parametrize("statement", _CHANGES)
@pytest.mark.parametrize("table", ["audit_logs", "event_ids", "checkpoints", "this_month"])
async def test_neither_the_service_nor_the_owner_can_edit_the_log(
    databases: list[Database], log: Log, owner: Database, statement: str, table: str
) -> None:
    """The service has no such right, the owner is stopped by a trigger; in each partition as in the whole."""
    text = statement.format(table=f"audit_logs_{datetime.now(UTC):%Y_%m}" if table == "this_month" else table)
    with pytest.raises(SchemaOutOfStep, match="permission denied"):
        await databases[0].fetch(text)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
        await owner.fetch(text)


def months_ahead() -> list[str]:
    first = datetime.now(UTC).replace(day=1)
    return [f"audit_logs_{month:%Y_%m}" for month in (first, _next(first), _next(_next(first)))]


def _next(month: datetime) -> datetime:
    return (month + timedelta(days=31)).replace(day=1)


async def test_partitions_stand_ready_for_this_month_and_the_next_two(owner: Database) -> None:
    rows = await owner.fetch(
        "SELECT relid::regclass::text FROM pg_partition_tree('audit.audit_logs') WHERE isleaf ORDER BY 1"
    )
    assert [row[0].removeprefix("audit.") for row in rows] == months_ahead()


async def test_a_partition_that_is_missing_is_made_with_its_guards_and_only_then(owner: Database, log: Log) -> None:
    furthest = months_ahead()[-1]
    async with undone(owner) as inside:
        assert await inside.fetchval("SELECT audit.ensure_partitions()") == 0
        await inside.fetch(f"DROP TABLE audit.{furthest}")
        assert await inside.fetchval("SELECT audit.ensure_partitions()") == 1
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="append-only"):
            await inside.fetch(f"TRUNCATE audit.{furthest}")


async def test_a_store_sees_to_its_partitions_before_it_writes_first(owner: Database) -> None:
    """And then not again before the month is another."""
    furthest = f"audit.{months_ahead()[-1]}"
    async with undone(owner) as inside:
        store = Store(inside)
        await inside.fetch(f"DROP TABLE {furthest}")
        await store.record(entries(events(1)))
        assert await inside.fetchval("SELECT to_regclass($1)", furthest)
        await inside.fetch(f"DROP TABLE {furthest}")
        await store.record(entries(events(1)))
        assert not await inside.fetchval("SELECT to_regclass($1)", furthest)


def test_a_row_whose_details_nobody_recorded_is_there_and_cannot_be_read() -> None:
    """`jsonb` nests deeper than what is ever written; the walk calls such a row broken, and does not fall over it."""
    entry = entry_of(settled())
    deep = entry._replace(details=msgspec.Raw(b"[" * 5_000 + b"]" * 5_000))
    good: Any = (7, NOON, b"", *entry)
    bad: Any = (7, NOON, b"", *deep)
    assert row_of(good) == Row(7, NOON, b"", entry)
    assert row_of(bad) == Row(7, NOON, b"", None)


async def test_the_worker_records_every_type_once_and_parks_what_no_row_may_say(
    servers: Stack, broker: BrokerProbe, owner: Database
) -> None:
    transfers, marker = events(20), settled()
    accounts = [
        AccountChanged(
            command_id=uuid4(),
            fingerprint="v1:first",
            account_id=uuid4(),
            operation="rename",
            outcome=CommandOutcome.ACCOUNT_NOT_FOUND,
            occurred_at=NOON,
            context=CONTEXT,
        )
    ]
    goods = [activity("LOGIN") for _ in range(4)]
    bad = activity("DANCE")
    settings = settings_from({**servers.service_settings("audit"), "REMIT_AUDIT_HTTP_PORT": "0"})
    async with open_service(settings) as worker, running(worker):
        for _ in range(2):
            for part in (transfers[::2], transfers[1::2], accounts, [*goods[:2], bad, *goods[2:]]):
                await broker.publish(part)
        await broker.publish([marker])

        async def is_done() -> bool:
            return bool(await positions(owner, [marker])) and await broker.ready("audit.events") == 0

        await eventually(is_done)
    assert len(await positions(owner, [*transfers, *accounts, *goods])) == 25
    assert await positions(owner, [bad]) == []
    assert (await verify(LogViews(owner))).status is LogStatus.VERIFIED
    reasons = await owner.fetch(
        "SELECT reason FROM audit.dead_letters WHERE item LIKE '%' || $1::text || '%'", str(bad.activity_id)
    )
    assert [row[0] for row in reasons] == ["failed_alone"]
