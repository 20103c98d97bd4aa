"""Months that are put away: the log verifies without them, each archive by itself, and what was edited is found."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from deploy.local.stack import Stack
from remit.archives import detaching
from remit.archives.files import MANIFEST, ROWS, ArchiveBroken, Manifest, check, write
from remit.errors import CommandError
from services.audit.store import Store
from services.gateway.domain import views
from services.gateway.domain.audit_log import ndjson
from services.gateway.domain.pipeline import Look
from services.gateway.domain.problems import Bounds
from services.gateway.reads import audit_log
from services.gateway.reads.audit_log import AuditFilter, AuditLogReads, LogMoved
from services.gateway.reads.dead_letters import DeadLetterReads
from services.gateway.reads.pipeline import PipelineReads
from services.gateway.reads.whole_timeline import WholeTimelines
from shared.audit_chain.chain import START, Row, body_of, extend
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import LogStatus, Page, Verification, verify
from shared.contracts.transfer import TransferSettled
from shared.database import Database
from shared.ids import event_id
from tests.support.builders import NOON, settled
from tests.support.logged import Past, months, past_log, some_entries
from tests.unit.test_gateway_pipeline import look


@pytest.fixture
async def past(servers: Stack, owner: Database) -> AsyncIterator[Past]:
    async with past_log(owner, {"REMIT_POSTGRES_URL": servers.env["REMIT_POSTGRES_URL"]}) as past:
        yield past


def oldest(folder: Path) -> Path:
    """The archive of the first month."""
    return min(folder.iterdir())


def manifests(folder: Path) -> list[Manifest]:
    """Those of all archives, oldest first."""
    return [check(path.parent) for path in sorted(folder.rglob(MANIFEST))]


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


async def test_a_transfer_whose_rows_were_put_away_does_not_wait_for_audit(past: Past, tmp_path: Path) -> None:
    """It was told to the log, whose month is an archive now: that its row is not there means nothing then."""
    put_away, lost = (msgspec.structs.replace(views.settled(settled()), transfer_id=uuid4()) for _ in range(2))
    await past.archive_all(tmp_path)
    name = event_id(put_away.transfer_id, TransferSettled.TYPE)
    await past.unguarded(f"UPDATE audit.event_ids SET event_id = '{name}' WHERE seq = 5", "event_ids")
    databases = dict.fromkeys(("fraud", "transfer", "ledger", "audit"), past.database)
    pipeline, reads = cast("PipelineReads", _Looking()), AuditLogReads(past.database)
    timelines = WholeTimelines(databases, reads, DeadLetterReads(databases), pipeline, Bounds(lag_max_s=60))
    found, missed = [await timelines.of(view) for view in (put_away, lost)]
    assert "archive" in found.unknown["audit"]
    assert "audit" not in {one.stage for one in found.waits}
    assert "audit" not in missed.unknown
    assert "audit" in {one.stage for one in missed.waits}


class _Looking:
    """A pipeline in which all is well."""

    async def look(self) -> Look:
        return look()


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
    past: Past, audit_views: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "_EXPORT_PAGE_ROWS", 20)
    pages = AuditLogReads(audit_views).everything(AuditFilter())
    assert len(await anext(pages)) == 20
    await past.archive_all(tmp_path)
    with pytest.raises(LogMoved):
        async for page in pages:
            ndjson(page)
