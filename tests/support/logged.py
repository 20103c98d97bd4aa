"""Audit logs with rows in them: of every combination, and of months that are over."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

from remit.commands import audit as command
from remit.environment import Settings
from services.audit.domain import entry_of
from services.audit.store import Store
from shared.audit_chain.canonical import Entry
from shared.audit_chain.chain import START, Tip, body_of, extend
from shared.audit_chain.views import LogViews
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.database import Database
from tests.support.builders import NOON
from tests.support.databases import wipe

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


@asynccontextmanager
async def past_log(owner: Database, environment: Mapping[str, str]) -> AsyncIterator[Past]:
    """A `Past` in place of whatever `owner`'s database holds; nothing of it is left afterwards."""
    await wipe(owner)
    tip = START
    try:
        for month in months():
            await _partition(owner, month)
            tip = await _fill(owner, tip, month)
        await Store(owner).record(some_entries(10, "today"))
        yield Past(owner, environment)
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
