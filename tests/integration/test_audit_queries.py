"""Reading the audit log on real servers: pages and exports against a plain query, indexes, and a tail that is gone."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from deploy.local.stack import Stack
from services.audit.checkpoints import Checkpoints
from services.audit.store import Store
from services.gateway.http.streams import Download
from services.gateway.reads import audit_log
from services.gateway.reads.audit_log import AuditFilter, AuditLogReads, LogMoved
from shared.audit_chain.stream import STREAM, Sent, open_stream
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import LogStatus, verify
from shared.database import Database, open_database
from tests.support.builders import NOON
from tests.support.databases import undone
from tests.support.logged import USERS, some_entries


@pytest.fixture
async def store(servers: Stack) -> AsyncIterator[Store]:
    async with open_database(servers.env["REMIT_AUDIT_POSTGRES_URL"], name="tests", schema="audit") as database:
        yield Store(database)


@pytest.fixture
async def recorded(store: Store, owner: Database) -> str:
    """The label of sixty rows, recorded nine at a time; so pages begin and end inside one time."""
    label = uuid4().hex
    entries = some_entries(60, label)
    for start in range(0, len(entries), 9):
        await store.record(entries[start : start + 9])
    return label


async def plainly(owner: Database, where: str, *values: Any) -> list[int]:
    """The seqs that a query without any cunning finds."""
    rows = await owner.fetch(f"SELECT seq FROM audit.audit_logs WHERE {where} ORDER BY seq DESC", *values)
    return [row[0] for row in rows]


FILTERS: list[Callable[[str], tuple[AuditFilter, str, list[Any]]]] = [
    lambda label: (AuditFilter(resource_id=f"{label}-1"), "resource_id = $1", [f"{label}-1"]),
    lambda label: (AuditFilter(user_id=USERS[1]), "user_id = $1", [USERS[1]]),
    lambda label: (AuditFilter(user_id=USERS[1], status="failed"), "user_id = $1 AND status = 'failed'", [USERS[1]]),
    lambda label: (AuditFilter(action="LOGIN"), "action = 'LOGIN'", []),
    lambda label: (AuditFilter(action="ADMIN", status="blocked"), "action = 'ADMIN' AND status = 'blocked'", []),
    lambda label: (
        AuditFilter(resource_type="account", status="success"),
        "resource_type = 'account' AND status = 'success'",
        [],
    ),
    lambda label: (AuditFilter(action="LOGIN", resource_type="dead_letter"), "false", []),
    lambda label: (AuditFilter(), "true", []),
    lambda label: (AuditFilter(end=NOON), "false", []),
]


@pytest.mark.parametrize("counted_max", [10_000, 20])
@pytest.mark.parametrize("chosen", FILTERS)
async def test_pages_hold_what_a_plain_query_finds_however_many_there_are(
    audit_views: Database,
    owner: Database,
    recorded: str,
    monkeypatch: pytest.MonkeyPatch,
    chosen: Callable[[str], tuple[AuditFilter, str, list[Any]]],
    counted_max: int,
) -> None:
    """Below the bound up to which rows are counted, and beyond it."""
    monkeypatch.setattr(audit_log, "COUNTED_MAX", counted_max)
    filters, where, values = chosen(recorded)
    expected = await plainly(owner, where, *values)
    reads = AuditLogReads(audit_views)
    for limit in (1, 4, 7, 20):
        for offset in range(0, min(counted_max, len(expected) + 2 * limit, 60), limit):
            rows, counted = await reads.page(filters, offset=offset, limit=limit)
            assert [row.seq for row in rows] == expected[offset : offset + limit]
            assert counted == min(len(expected), counted_max + 1)


@pytest.mark.parametrize("chosen", FILTERS)
async def test_an_export_holds_what_was_there_when_it_began(
    audit_views: Database,
    owner: Database,
    store: Store,
    recorded: str,
    monkeypatch: pytest.MonkeyPatch,
    chosen: Callable[[str], tuple[AuditFilter, str, list[Any]]],
) -> None:
    """Rows that are recorded while it goes on are not in it, so that it ends."""
    monkeypatch.setattr(audit_log, "_EXPORT_PAGE_ROWS", 7)
    filters, where, values = chosen(recorded)
    expected = await plainly(owner, where, *values)
    found: list[int] = []
    async for page in AuditLogReads(audit_views).everything(filters):
        assert len(page) <= 7
        found += [row.seq for row in page]
        await store.record(some_entries(3, recorded))
    assert found == expected


EARLIER, LATER = datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(hours=1)
INDEXED: list[dict[str, Any]] = [
    {"user_id": USERS[0]},
    {"action": "LOGIN"},
    {"resource_type": "account"},
    {"resource_id": "x"},
    {"status": "failed"},
    {"status": "blocked"},
]


@pytest.mark.parametrize("columns", ["action, resource_type", "action, status", "resource_type, status"])
async def test_pairs_that_are_rare_beside_either_have_an_index_of_their_own(owner: Database, columns: str) -> None:
    defined = await owner.fetch(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'audit' AND tablename = 'audit_logs'"
    )
    assert any(f"({columns}, recorded_at)" in row[0] for row in defined)


@pytest.mark.parametrize("chosen", INDEXED, ids=str)
async def test_filters_have_an_index_in_the_order_of_the_log(
    audit_views: Database, owner: Database, recorded: str, chosen: dict[str, Any]
) -> None:
    """Told not to read a table whole nor to sort, PostgreSQL finds one that holds all that is asked for."""
    # Or its choice hangs on which of these tables autovacuum has come by.
    await owner.fetch("VACUUM (ANALYZE) audit.audit_logs")
    where, values = audit_log.conditions(AuditFilter(**chosen, start=EARLIER, end=LATER))
    async with audit_views.transaction() as connection:
        for name in ("seqscan", "bitmapscan", "sort", "incremental_sort"):
            await connection.execute(f"SET LOCAL enable_{name} = off")
        rows = await connection.fetch(
            f"EXPLAIN {audit_log.LOG_SQL.times} {where} ORDER BY recorded_at DESC LIMIT 50", *values
        )
    plan = "\n".join(row[0] for row in rows)
    assert "Index Only Scan Backward" in plan, plan
    for other in ("Sort", "Seq Scan", "Filter"):
        assert other not in plan, plan


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """An application behind the real server."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve([listening]))
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        finally:
            server.should_exit = True
            await task


@pytest.mark.parametrize("breaks", [False, True])
async def test_a_stream_that_breaks_half_way_does_not_look_complete(breaks: bool) -> None:
    closed = []

    async def parts() -> AsyncIterator[bytes]:
        try:
            for _ in range(3):
                yield b"x" * 1000
            if breaks:
                raise LogMoved("now")
        finally:
            closed.append(True)

    async def download(_: Request) -> Download:
        return Download(parts(), media_type="text/csv", filename="a.csv")  # type: ignore[arg-type]

    async with served(Starlette(routes=[Route("/", download)])) as url, httpx.AsyncClient() as http:
        if breaks:
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                await http.get(url)
        else:
            assert (await http.get(url)).content == b"x" * 3000
    assert closed == [True]


async def test_a_tail_that_was_cut_off_everywhere_in_the_database_is_missed_by_the_stream(
    servers: Stack, owner: Database, store: Store, recorded: str
) -> None:
    async with Redis.from_url(servers.env["REMIT_REDIS_URL"]) as redis:
        # Of a log that another test has wiped.
        await redis.delete(STREAM)
    async with open_stream(servers.env["REMIT_REDIS_URL"]) as stream:
        await Checkpoints(store, stream, every_s=60).once()
        sent = await stream.read()
    top = max(sent)
    assert (await verify(LogViews(owner), sent=sent)).status is LogStatus.VERIFIED
    async with undone(owner) as inside:
        for table in ("audit_logs", "event_ids", "checkpoints"):
            await inside.fetch(f"ALTER TABLE audit.{table} DISABLE TRIGGER USER")
            await inside.fetch(f"DELETE FROM audit.{table} WHERE seq > $1", top - 3)
        assert (await verify(LogViews(inside))).status is LogStatus.VERIFIED
        found = await verify(LogViews(inside), sent=sent)
    assert found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.reason, found.rows) == (top - 2, "row_missing", top - 3)


async def test_what_the_stream_remembers_otherwise_is_named(owner: Database, recorded: str) -> None:
    [top] = (await plainly(owner, "true"))[:1]
    found = await verify(LogViews(owner), sent={top - 1: Sent(b"\x00" * 32, NOON)})
    assert found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.reason) == (top - 1, "checkpoint_differs")


async def test_what_no_checkpoint_can_be_is_passed_over(servers: Stack) -> None:
    async with Redis.from_url(servers.env["REMIT_REDIS_URL"]) as redis:
        unreadable: list[dict[Any, Any]] = [{"seq": "x", "hash": "00" * 32}, {"hash": "zz"}, {"seq": "5", "hash": "00"}]
        for fields in unreadable:
            await redis.xadd(STREAM, {**fields, "recorded_at": NOON.isoformat()})
        async with open_stream(servers.env["REMIT_REDIS_URL"]) as stream:
            assert 5 not in await stream.read()
