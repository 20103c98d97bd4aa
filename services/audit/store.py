"""Entries <-> rows. One transaction a batch; the chain is locked from its tip to the commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

from shared.audit_chain.canonical import DETAILS, Entry
from shared.audit_chain.chain import GENESIS, Tip, body_of, extend
from shared.database import Connection, Database, is_unique_violation, load_queries

SQL = load_queries(__file__)


class Checkpoint(NamedTuple):
    """Where the chain stood at a time: who knows it sees when the log was cut or written anew."""

    seq: int
    hash: bytes
    recorded_at: datetime


class Store:
    """The tables `audit.audit_logs`, `audit.event_ids` and `audit.checkpoints`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._partitioned_in: tuple[int, int] | None = None

    async def record(self, entries: Sequence[Entry]) -> list[Entry]:
        """Commits the entries whose events are not recorded yet, in order, and returns them.

        Lock, tip and known events are statements of their own: each sees all that was committed before it began.
        """
        unique: dict[UUID, Entry] = {}
        for entry in entries:
            unique.setdefault(entry.event_id, entry)
        bodies = {event_id: body_of(entry) for event_id, entry in unique.items()}
        await self._ensure_partitions()
        try:
            # Nearly always all of them are new: they are looked for only when one was met.
            return await self._extend(unique, bodies, is_met=False)
        except Exception as error:
            if not is_unique_violation(error):
                raise
            return await self._extend(unique, bodies, is_met=True)

    async def _extend(self, unique: Mapping[UUID, Entry], bodies: Mapping[UUID, bytes], *, is_met: bool) -> list[Entry]:
        async with self._database.transaction() as connection:
            await connection.execute(SQL.lock_chain)
            tip, recorded_at = await _tip(connection)
            rows = await connection.fetch(SQL.known_events, list(unique)) if is_met else ()
            known = {row[0] for row in rows}
            fresh = [entry for event_id, entry in unique.items() if event_id not in known]
            if fresh:
                hashes = extend(tip, recorded_at, [bodies[entry.event_id] for entry in fresh])
                await _insert(connection, tip, recorded_at, fresh, hashes)
        return fresh

    async def _ensure_partitions(self) -> None:
        # Two months are made ahead, so once a month is enough, by whatever clock is at hand.
        now = datetime.now(UTC)
        if self._partitioned_in != (now.year, now.month):
            await self._database.fetchval(SQL.ensure_partitions)
            self._partitioned_in = (now.year, now.month)

    async def checkpoint(self) -> tuple[Checkpoint, int] | None:
        """Commits a checkpoint if the chain has grown; the newest one and the tip's seq, or None before the first."""
        async with self._database.transaction() as connection:
            await connection.execute(SQL.lock_checkpoints)
            await connection.execute(SQL.add_checkpoint)
            row = await connection.fetchrow(SQL.newest_checkpoint)
        return None if row is None else (Checkpoint(row[0], row[1], row[2]), row[3])


async def _tip(connection: Connection) -> tuple[Tip, datetime]:
    seq, last_hash, recorded_at = await connection.fetchrow(SQL.tip)  # type: ignore[misc]  # it always has one row
    return Tip(seq, last_hash or GENESIS), recorded_at


async def _insert(
    connection: Connection, tip: Tip, recorded_at: datetime, entries: Sequence[Entry], hashes: Sequence[bytes]
) -> None:
    seqs = range(tip.seq + 1, tip.seq + 1 + len(entries))
    await connection.execute(SQL.insert_ids, seqs, [entry.event_id for entry in entries])
    # COPY: rows as they are. An array a column costs the driver twice as much.
    await connection.copy_records_to_table(
        "audit_logs",
        schema_name="audit",
        columns=("recorded_at", "seq", "hash", *Entry._fields),
        records=[
            (recorded_at, seq, link, *entry[:DETAILS], bytes(entry.details).decode(), *entry[DETAILS + 1 :])
            for seq, link, entry in zip(seqs, hashes, entries, strict=True)
        ],
    )
