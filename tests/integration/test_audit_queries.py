"""Reading the audit log on real servers: pages and exports against a plain query, a cut tail, months put away."""

from __future__ import annotations

import argparse
import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
import uvicorn
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from deploy.local.stack import Stack
from remit.archives import detaching
from remit.archives.files import MANIFEST, ROWS, ArchiveBroken, Manifest, check, write
from remit.commands import audit as command
from remit.environment import Settings
from remit.errors import CommandError
from services.audit.checkpoints import Checkpoints
from services.audit.domain import entry_of
from services.audit.store import Store
from services.gateway.domain.audit_log import ndjson
from services.gateway.http.streams import Download
from services.gateway.reads import audit_log
from services.gateway.reads.audit_log import AuditFilter, AuditLogReads, LogMoved
from shared.audit_chain.canonical import Entry
from shared.audit_chain.chain import START, Row, Tip, body_of, extend
from shared.audit_chain.stream import STREAM, Sent, open_stream
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import LogStatus, Page, Verification, verify
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.database import Database, open_database
from tests.support.builders import NOON
from tests.support.databases import undone, wipe

USERS = [uuid4() for _ in range(3)]
ACTIONS = ("LOGIN", "ACCOUNT_ACCESS", "ADMIN")
STATUSES = ("success", "failed", "blocked")


def some_entries(count: int, label: str) -> list[Entry]:
    """Rows in which every combination occurs."""
    return [
        entry_of(
            ActivityRecorded(
                activity_id=uuid4(),
                action=ACTIONS[n % 3],
                resource_type=("user", "account")[n % 2],
                resource_id=f"{label}-{n % 5}",
                status=STATUSES[n // 3 % 3],
                occurred_at=NOON,
                context=Context(request_id=f"{label}-{n}", user_id=USERS[n % 3], user_agent="=agent"),
            )
        )
        for n in range(count)
    ]


@pytest.fixture
async def gateway(servers: Stack) -> AsyncIterator[Database]:
    """The log as the gateway's role sees it."""
    url = servers.service_settings("gateway")["REMIT_GATEWAY_READS_AUDIT_POSTGRES_URL"]
    async with open_database(url, name="tests", schema="audit") as database:
        yield database


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
    gateway: Database,
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
    reads = AuditLogReads(gateway)
    for limit in (1, 4, 7, 20):
        for offset in range(0, min(counted_max, len(expected) + 2 * limit, 60), limit):
            rows, counted = await reads.page(filters, offset=offset, limit=limit)
            assert [row.seq for row in rows] == expected[offset : offset + limit]
            assert counted == min(len(expected), counted_max + 1)


@pytest.mark.parametrize("chosen", FILTERS)
async def test_an_export_holds_what_was_there_when_it_began(
    gateway: Database,
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
    async for page in AuditLogReads(gateway).everything(filters):
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
    gateway: Database, recorded: str, chosen: dict[str, Any]
) -> None:
    """Told not to read a table whole nor to sort, PostgreSQL finds one that holds all that is asked for."""
    where, values = audit_log.conditions(AuditFilter(**chosen, start=EARLIER, end=LATER))
    async with gateway.transaction() as connection:
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


def months() -> list[date]:
    """The two months before this one."""
    this = datetime.now(UTC).date().replace(day=1)
    last = (this - timedelta(days=1)).replace(day=1)
    return [(last - timedelta(days=1)).replace(day=1), last]


class Past:
    """A log that began two months ago: forty rows a month, then ten of today."""

    def __init__(self, database: Database, environment: Mapping[str, str]) -> None:
        self.database = database
        self.environment = environment

    @property
    def log(self) -> LogViews:
        return LogViews(self.database)

    async def archive_all(self, to: Path) -> int:
        """`remit audit archive`, as an operator calls it."""
        return await self.run("archive", before=f"{datetime.now(UTC):%Y-%m}", to=to)

    async def run(self, act: str, **arguments: Any) -> int:
        return await command.run(
            argparse.Namespace(act=act, **arguments), Settings(environment=self.environment, local=None)
        )

    async def unguarded(self, statement: str, table: str = "audit_logs") -> None:
        """A statement of somebody whom no trigger stops."""
        async with self.database.transaction() as connection:
            await connection.execute(f"ALTER TABLE audit.{table} DISABLE TRIGGER USER")
            await connection.execute(statement)
            await connection.execute(f"ALTER TABLE audit.{table} ENABLE TRIGGER USER")


def oldest(folder: Path) -> Path:
    """The archive of the first month."""
    return min(folder.iterdir())


def manifests(folder: Path) -> list[Manifest]:
    """Those of all archives, oldest first."""
    return [check(path.parent) for path in sorted(folder.rglob(MANIFEST))]


@pytest.fixture
async def past(servers: Stack, owner: Database) -> AsyncIterator[Past]:
    await wipe(owner)
    tip = START
    try:
        for month in months():
            await _partition(owner, month)
            tip = await _fill(owner, tip, month)
        await Store(owner).record(some_entries(10, "today"))
        yield Past(owner, {"REMIT_POSTGRES_URL": servers.env["REMIT_POSTGRES_URL"]})
    finally:
        for month in months():
            await owner.fetch(f"DROP TABLE IF EXISTS audit.audit_logs_{month:%Y_%m}")
        await wipe(owner)


async def _partition(database: Database, month: date) -> None:
    following = (month + timedelta(days=31)).replace(day=1)
    name = f"audit.audit_logs_{month:%Y_%m}"
    await database.fetch(f"CREATE TABLE {name} (LIKE audit.audit_logs INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await database.fetch(
        f"""ALTER TABLE audit.audit_logs ATTACH PARTITION {name}
            FOR VALUES FROM ('{month} 00:00:00Z') TO ('{following} 00:00:00Z')"""
    )


async def _fill(database: Database, tip: Tip, month: date) -> Tip:
    at = datetime(month.year, month.month, 28, 23, 59, 59, 999999, tzinfo=UTC)
    entries = some_entries(40, f"{month:%Y-%m}")
    hashes = extend(tip, at, [body_of(entry) for entry in entries])
    columns = ", ".join(Entry._fields)
    marks = ", ".join(f"${n}" for n in range(4, 16)).replace("$14", "$14::text::jsonb")
    for seq, (entry, row_hash) in enumerate(zip(entries, hashes, strict=True), tip.seq + 1):
        values = [bytes(value).decode() if name == "details" else value for name, value in entry._asdict().items()]
        await database.fetch(
            f"INSERT INTO audit.audit_logs (seq, recorded_at, hash, {columns}) VALUES ($1, $2, $3, {marks})",
            seq,
            at,
            row_hash,
            *values,
        )
        await database.fetch("INSERT INTO audit.event_ids VALUES ($1, $2)", seq, entry.event_id)
    return Tip(tip.seq + len(entries), hashes[-1])


async def test_months_leave_the_log_as_archives_and_the_log_still_verifies(past: Past, tmp_path: Path) -> None:
    whole = await verify(past.log)
    assert (whole.status, whole.rows) == (LogStatus.VERIFIED, 90)
    assert await past.archive_all(tmp_path) == 0
    found = await verify(past.log, page_rows=7)
    # Each archive left a row in the log.
    assert found == Verification(status=LogStatus.VERIFIED, rows=12, archived_rows=80)
    assert (await verify(past.log, after_seq=80)).rows == 12
    for month in months():
        folder = tmp_path / f"audit_logs_{month:%Y_%m}"
        manifest = check(folder)
        assert (manifest.rows, manifest.month) == (40, f"{month:%Y-%m}")
        assert await past.run("verify-archive", folder=folder, offline=False) == 0
    assert await past.run("verify") == 0


async def test_an_archive_is_told_in_the_log_and_its_table_is_kept_and_guarded(past: Past, tmp_path: Path) -> None:
    await past.archive_all(tmp_path)
    told = await past.database.fetch(
        "SELECT resource_id, details ->> 'file_sha256' FROM audit.logs WHERE action = 'ADMIN' ORDER BY seq DESC LIMIT 2"
    )
    expected = [(m.month, m.file_sha256) for m in reversed(manifests(tmp_path))]
    assert [tuple(row) for row in told] == expected
    assert await past.database.fetchval("SELECT count(*) FROM audit.logs") == 12
    assert await past.database.fetchval("SELECT count(*) FROM audit.logs_ever") == 92
    kept = f"audit.audit_logs_{months()[0]:%Y_%m}"
    for statement in (f"DELETE FROM {kept}", "TRUNCATE audit.archived_logs", "DELETE FROM audit.archives"):
        with pytest.raises(Exception, match="append-only"):
            await past.database.fetch(statement)
    with pytest.raises(Exception, match="append-only"):
        await past.database.fetch(f"INSERT INTO {kept} SELECT * FROM {kept} LIMIT 1")


async def test_archiving_again_changes_nothing(past: Past, tmp_path: Path) -> None:
    await past.archive_all(tmp_path / "first")
    assert await past.archive_all(tmp_path / "second") == 0
    assert not (tmp_path / "second").exists()
    assert await past.database.fetchval("SELECT count(*) FROM audit.logs") == 12


async def test_an_event_of_an_archived_month_is_still_known(past: Past, tmp_path: Path) -> None:
    entry = some_entries(1, "again")[0]._replace(
        event_id=await past.database.fetchval("SELECT event_id FROM audit.event_ids WHERE seq = 5")
    )
    await past.archive_all(tmp_path)
    assert await Store(past.database).record([entry]) == []


async def test_a_month_whose_rows_were_edited_is_not_put_away(past: Past, tmp_path: Path) -> None:
    await past.unguarded("UPDATE audit.audit_logs SET status = 'failed' WHERE seq = 7")
    with pytest.raises(CommandError, match="row 7 of the log: content_changed; nothing was detached"):
        await past.archive_all(tmp_path)
    assert await past.database.fetchval("SELECT count(*) FROM audit.archived") == 0
    assert manifests(tmp_path) == []


async def test_what_is_not_over_is_not_archived(past: Past, tmp_path: Path) -> None:
    this = datetime.now(UTC).date().replace(day=1)
    following = (this + timedelta(days=31)).replace(day=1)
    with pytest.raises(CommandError, match="only months that are over"):
        await past.run("archive", before=f"{following:%Y-%m}", to=tmp_path)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="is not over"):
        await detaching.archive(past.database, this, tmp_path / "now")
    assert await past.database.fetchval("SELECT count(*) FROM audit.archived") == 0


async def test_a_month_that_is_not_what_was_written_stays(past: Past) -> None:
    """As if a row had come between the writing and the detaching."""
    zeros = b"\x00" * 32
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match="is not what the archive holds"):
        await past.database.fetch(detaching.SQL.detach_month, months()[0], 1, 39, zeros, zeros, zeros)
    assert (await verify(past.log)).rows == 90


def _replaced(path: Path, old: bytes, new: bytes) -> None:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda f: _replaced(f / ROWS, b'"status":"failed"', b'"status":"success"'), "row 4: content_changed"),
        (lambda f: (f / ROWS).write_bytes(b"".join((f / ROWS).read_bytes().splitlines(True)[:-1])), "last_seq"),
        (
            lambda f: (f / ROWS).write_bytes(b"".join((f / ROWS).read_bytes().splitlines(True)[1:])),
            "row 1: row_missing",
        ),
        (lambda f: (f / ROWS).write_bytes((f / ROWS).read_bytes()[:-1]), "file_bytes, file_sha256"),
        (lambda f: (f / ROWS).write_bytes((f / ROWS).read_bytes() + b"{}\n"), "row 41: not_readable"),
        (lambda f: _replaced(f / MANIFEST, b'"rows": 40', b'"rows": 41'), "another rows"),
        (lambda f: _replaced(f / MANIFEST, b'"previous_hash": "', b'"previous_hash": "00'), "row 1: content_changed"),
        (lambda f: _replaced(f / MANIFEST, b'"rows": 40,', b""), "rows"),
    ],
)
async def test_an_archive_that_was_edited_does_not_prove_itself(
    past: Past, tmp_path: Path, edit: Callable[[Path], object], message: str
) -> None:
    await past.archive_all(tmp_path)
    folder = oldest(tmp_path)
    edit(folder)
    with pytest.raises(ArchiveBroken, match=message):
        await past.run("verify-archive", folder=folder, offline=True)


async def test_an_archive_that_was_made_anew_is_not_the_one_the_log_remembers(past: Past, tmp_path: Path) -> None:
    """It proves itself: only the log knows better."""
    await past.archive_all(tmp_path)
    folder = oldest(tmp_path)
    entries = some_entries(40, "forged")
    hashes = extend(START, NOON, [body_of(entry) for entry in entries])
    rows = [
        Row(seq, NOON, row_hash, entry) for seq, (row_hash, entry) in enumerate(zip(hashes, entries, strict=True), 1)
    ]
    await write(folder, f"{months()[0]:%Y-%m}", START, _one_page(rows))
    assert await past.run("verify-archive", folder=folder, offline=True) == 0
    with pytest.raises(CommandError, match="the log remembers another last_hash, file_sha256"):
        await past.run("verify-archive", folder=folder, offline=False)


async def _one_page(rows: Sequence[Row]) -> AsyncIterator[Sequence[Row]]:
    yield rows


@pytest.mark.parametrize(
    ("statement", "table", "bad"),
    [
        ("DELETE FROM audit.event_ids WHERE seq = 50", "event_ids", (41, "event_id_missing")),
        (
            "UPDATE audit.archives SET previous_hash = sha256('') WHERE first_seq = 41",
            "archives",
            (41, "archive_differs"),
        ),
        ("UPDATE audit.archives SET last_hash = sha256('') WHERE first_seq = 41", "archives", (81, "content_changed")),
        ("DELETE FROM audit.archives WHERE first_seq = 1", "archives", (1, "row_missing")),
        ("INSERT INTO audit.checkpoints VALUES (80, sha256(''))", "checkpoints", (80, "checkpoint_differs")),
    ],
)
async def test_what_vouches_for_an_archive_cannot_be_edited_unseen(
    past: Past, tmp_path: Path, statement: str, table: str, bad: tuple[int, str]
) -> None:
    await past.archive_all(tmp_path)
    await past.unguarded(statement, table)
    found = await verify(past.log)
    assert found.first_bad is not None
    assert (found.first_bad.seq, found.first_bad.reason) == bad


class _Archiving(LogViews):
    """A log whose old months are put away while it is being walked."""

    def __init__(self, past: Past, folder: Path) -> None:
        super().__init__(past.database)
        self._past = past
        self._folder = folder
        self._pages = 0

    async def page(self, after_seq: int, until_seq: int) -> Page:
        self._pages += 1
        if self._pages == 3:
            await self._past.archive_all(self._folder)
        return await super().page(after_seq, until_seq)


async def test_a_month_that_is_put_away_during_a_walk_is_not_missing(past: Past, tmp_path: Path) -> None:
    found = await verify(_Archiving(past, tmp_path), page_rows=7)
    # What was recorded meanwhile is not judged.
    assert found == Verification(status=LogStatus.VERIFIED, rows=24, archived_rows=66)


async def test_an_export_breaks_off_where_a_month_is_put_away_meanwhile(
    past: Past, gateway: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "_EXPORT_PAGE_ROWS", 20)
    pages = AuditLogReads(gateway).everything(AuditFilter())
    assert len(await anext(pages)) == 20
    await past.archive_all(tmp_path)
    with pytest.raises(LogMoved):
        async for page in pages:
            ndjson(page)
