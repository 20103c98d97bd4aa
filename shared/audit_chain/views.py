"""The log as its published views show it: to the gateway's role, and to the owner."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from shared.audit_chain.canonical import DETAILS, Entry, stored_details
from shared.audit_chain.chain import Archive, Row
from shared.audit_chain.walk import Extent, Page
from shared.database import Database, load_queries
from shared.database import Row as Record

SQL = load_queries(__file__, "views.sql")


class LogViews:
    """A log that can be walked, in whatever database holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def extent(self) -> Extent:
        """How far the chain must reach: everything that is known to have been recorded, by whatever still says so."""
        seq, is_replica = (await self._database.fetch(SQL.extent))[0]
        return Extent(seq, is_replica)

    async def hash_at(self, seq: int) -> bytes | None:
        """Where a walk begins in the middle: at a row, a checkpoint or an archive's end."""
        found: bytes | None = await self._database.fetchval(SQL.hash_at, seq)
        return found

    async def page(self, after_seq: int, until_seq: int) -> Page:
        """The rows of a range, and what vouches for them."""
        rows = await self._database.fetch(SQL.logs_between, after_seq, until_seq)
        event_ids = await self._database.fetch(SQL.event_ids_between, after_seq, until_seq)
        checkpoints = await self._database.fetch(SQL.checkpoints_between, after_seq, until_seq)
        return Page([row_of(row) for row in rows], _pairs(event_ids), _pairs(checkpoints))

    async def archives(self) -> Sequence[Archive]:
        """What was detached, oldest first: one a month at most."""
        return [Archive(*record) for record in await self._database.fetch(SQL.archives)]

    async def known_events(self, after_seq: int, until_seq: int) -> int:
        """How many events of a range would be known again."""
        return int(await self._database.fetchval(SQL.known_events, after_seq, until_seq))


def row_of(record: Record) -> Row:
    """A row of `logs_between`."""
    seq, recorded_at, row_hash, *fields = record
    try:
        fields[DETAILS] = stored_details(fields[DETAILS])
    except ValueError:
        return Row(seq, recorded_at, row_hash, None)
    return Row(seq, recorded_at, row_hash, Entry._make(fields))


def _pairs(records: Iterable[Record]) -> dict[int, Any]:
    return {record[0]: record[1] for record in records}
