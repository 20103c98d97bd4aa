"""When a transfer is settled: its two entries and both its audit rows are committed, and anybody can see them.

Rows bear the time at which they were written, not at which they were committed. So while load runs, the database is
asked again and again which transactions can be seen; afterwards each row's own transaction tells when it was there,
to within the time between two samples, and never too early.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from remit.bench.quantiles import weighted_quantile
from shared.database import Database, load_queries

SQL = load_queries(__file__)
# Each sample takes its time from the machine that is measured.
SAMPLE_EVERY_S = 0.05
_STATEMENT_TIMEOUT_S = 600


@dataclass(frozen=True)
class Snapshot:
    """Which transactions could be seen at a time: all below `xmax` but those in progress."""

    at: datetime
    xmax: int
    running: frozenset[int]

    def shows(self, xid: int) -> bool:
        """Whether what that transaction wrote could be seen."""
        return xid < self.xmax and xid not in self.running


def parse_snapshot(text: str, at: datetime) -> Snapshot:
    """PostgreSQL writes `xmin:xmax:xip,xip`. Below `xmin` none is in progress."""
    _, xmax, running = text.split(":")
    return Snapshot(at, int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))


@dataclass(frozen=True, kw_only=True)
class Lag:
    """Milliseconds from a transfer's settling to when the row that follows from it could be seen."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, kw_only=True)
class Booked:
    """What became of the transfers of one load. `settled` counts those booked whole, `missing` completed ones that
    are not; `seconds` reach from the first request's acceptance to the last row."""

    settled: int
    missing: int
    failed: int
    blocked: int
    seconds: float
    per_second: Sequence[int]
    ledger: Lag
    audit: Lag


@dataclass
class Watch:
    """The samples of one load."""

    snapshots: list[Snapshot] = field(default_factory=list)

    def seen_at(self, xid: int) -> datetime:
        """When that transaction could first be seen.

        Raises:
            ValueError: it cannot yet.
        """
        place = bisect_left(self.snapshots, True, key=lambda snapshot: snapshot.shows(xid))
        if place == len(self.snapshots):
            raise ValueError(f"transaction {xid} has not been seen to be committed")
        return self.snapshots[place].at

    async def sample(self, owner: Database) -> None:
        """One more."""
        row = await owner.fetchrow(SQL.sample)
        if row is not None:
            self.snapshots.append(parse_snapshot(row[0], row[1]))


@asynccontextmanager
async def watching(owner: Database) -> AsyncIterator[Watch]:
    """Samples until the block ends, and once more."""
    watch = Watch()
    task = asyncio.create_task(_sample(watch, owner), name="sample")
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await watch.sample(owner)


async def _sample(watch: Watch, owner: Database) -> None:
    while True:
        await watch.sample(owner)
        await asyncio.sleep(SAMPLE_EVERY_S)


async def now(owner: Database) -> datetime:
    """The database's time."""
    found: datetime = await owner.fetchval(SQL.now)
    return found


async def booked_since(owner: Database, begun: datetime, watch: Watch) -> Booked:
    """Judges the rows, once nothing is on its way any more."""
    [counted] = await look(owner, SQL.counted, begun)
    return judge(await look(owner, SQL.booked, begun), watch, counted)


async def look(owner: Database, statement: str, *arguments: object) -> Sequence[Mapping[str, Any]]:
    """The rows of a statement that may read the whole book, for which a session's usual patience is too short."""
    async with owner.transaction() as connection:
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'")
        await connection.execute("SET LOCAL work_mem = '128MB'")
        return [dict(row) for row in await connection.fetch(statement, *arguments, timeout=_STATEMENT_TIMEOUT_S)]


def judge(groups: Iterable[Mapping[str, Any]], watch: Watch, counted: Mapping[str, Any]) -> Booked:
    """Counts what is booked whole, and by how much each part came later than the settling."""
    ends: Counter[datetime] = Counter()
    ledger: Counter[float] = Counter()
    audit: Counter[float] = Counter()
    for group in groups:
        if None in (group["entries"], group["checks"], group["ends"]):
            continue
        entries = watch.seen_at(group["entries"])
        logs = max(watch.seen_at(group["checks"]), watch.seen_at(group["ends"]))
        settled_at, transfers = group["settled_at"], group["transfers"]
        ends[max(entries, logs)] += transfers
        ledger[(entries - settled_at).total_seconds() * 1000] += transfers
        audit[(logs - settled_at).total_seconds() * 1000] += transfers
    began = counted["begun_at"]
    settled = ends.total()
    return Booked(
        settled=settled,
        missing=counted["completed"] - settled,
        failed=counted["failed"],
        blocked=counted["blocked"],
        seconds=(max(ends) - began).total_seconds() if ends else 0.0,
        per_second=_per_second(ends, began),
        ledger=_lag(ledger),
        audit=_lag(audit),
    )


def _lag(counted: Counter[float]) -> Lag:
    ordered = sorted(counted.items())
    p50, p99, most = (weighted_quantile(ordered, share) for share in (0.5, 0.99, 1.0))
    return Lag(p50_ms=p50, p99_ms=p99, max_ms=most)


def _per_second(ends: Counter[datetime], began: datetime) -> list[int]:
    by_second: Counter[int] = Counter()
    for at, transfers in ends.items():
        by_second[int((at - began).total_seconds())] += transfers
    return [by_second[second] for second in range(max(by_second, default=-1) + 1)]
