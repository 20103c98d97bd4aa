"""Takes a month out of the log: written, read back, and only then detached, with a row in the log that says so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec

from remit.archives.files import Manifest, check, write
from remit.errors import CommandError
from services.audit.domain import entry_of
from services.audit.store import Store
from shared.audit_chain.chain import START, Broken, Row, Tip, follow
from shared.audit_chain.views import LogViews
from shared.contracts.audit import Action, ResourceType, Result
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.database import Database, is_transient, load_queries
from shared.ids import random_id

SQL = load_queries(__file__)

_PAGE_ROWS = 5_000
# Each waits for the chain and the log's readers for two seconds at most, so that they never wait longer for it.
_TRIES_MAX = 5


async def months_before(database: Database, before: date) -> list[date]:
    """The months in the log that end before `before` begins, oldest first."""
    return [row[0] for row in await database.fetch(SQL.months, before)]


async def archive(database: Database, month: date, folder: Path) -> Manifest | None:
    """Archives one month that is over; None where nothing was recorded in it.

    Raises:
        CommandError: its rows are not what was recorded, so that nothing was detached.
    """
    extent = (await database.fetch(SQL.extent, month))[0]
    if extent["first_seq"] is None:
        return None
    log = LogViews(database)
    before = await _tip_before(log, extent["first_seq"])
    await write(folder, f"{month:%Y-%m}", before, _rows(log, before, extent["last_seq"]))
    # What counts is what a reader finds, not what was meant to be written.
    manifest = await asyncio.to_thread(check, folder)
    await _detach(database, month, manifest)
    return manifest


async def _tip_before(log: LogViews, first_seq: int) -> Tip:
    if first_seq == 1:
        return START
    known_hash = await log.hash_at(first_seq - 1)
    if known_hash is None:
        raise CommandError(f"row {first_seq - 1} is neither in the log nor the end of an archive")
    return Tip(first_seq - 1, known_hash)


async def _rows(log: LogViews, tip: Tip, until_seq: int) -> AsyncIterator[Sequence[Row]]:
    """The rows up to `until_seq`, each found good first: nothing broken is put away."""
    while tip.seq < until_seq:
        end = min(tip.seq + _PAGE_ROWS, until_seq)
        page = await log.page(tip.seq, end)
        found = follow(tip, end, page.rows, page.event_ids, page.checkpoints)
        if isinstance(found, Broken):
            raise CommandError(f"row {found.seq} of the log: {found.reason}; nothing was detached")
        yield page.rows
        tip = found


async def _detach(database: Database, month: date, manifest: Manifest) -> None:
    await database.fetch(await database.fetchval(SQL.bound_month, month))
    # Now, on a connection of its own: later it would wait for what is locked here.
    await database.fetch(SQL.ensure_partitions)
    told = entry_of(_told(manifest))
    for attempt in range(_TRIES_MAX):
        try:
            async with database.transaction() as connection:
                await connection.execute(
                    SQL.detach_month,
                    month,
                    manifest.first_seq,
                    manifest.last_seq,
                    *(bytes.fromhex(h) for h in (manifest.previous_hash, manifest.last_hash, manifest.file_sha256)),
                )
                await Store(database).record([told])
        except Exception as error:
            if not is_transient(error) or attempt == _TRIES_MAX - 1:
                raise
        else:
            return


def _told(manifest: Manifest) -> ActivityRecorded:
    """What the log itself says of the part that left it."""
    details = {"act": "archive_audit_log", **msgspec.to_builtins(manifest)}
    return ActivityRecorded(
        activity_id=random_id(),
        action=Action.ADMIN,
        resource_type=ResourceType.AUDIT_LOG,
        resource_id=manifest.month,
        status=Result.SUCCESS,
        occurred_at=datetime.now(UTC),
        context=Context(request_id=random_id().hex, user_agent="remit audit archive"),
        details={name: msgspec.Raw(msgspec.json.encode(value)) for name, value in details.items()},
    )


async def compare(database: Database, manifest: Manifest) -> str | None:
    """In which way the log remembers this archive otherwise, or None."""
    rows = await database.fetch(SQL.archived, date.fromisoformat(f"{manifest.month}-01"))
    if not rows:
        return f"the log knows of no archive of {manifest.month}"
    known = {name: value.hex() if isinstance(value, bytes) else value for name, value in dict(rows[0]).items()}
    names = ("first_seq", "last_seq", "previous_hash", "last_hash", "file_sha256")
    differing = [name for name in names if known[name] != getattr(manifest, name)]
    return f"the log remembers another {', '.join(differing)}" if differing else None
