"""One look at the whole pipeline: each part for itself and bounded in time, so that what is broken hides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog

from services.gateway.domain.lag import ROWS_MAX, Lag, Seen, oldest_missing, places_back, places_between
from services.gateway.domain.pipeline import STAGES, Instance, Look, Pending, Standing, Unknown, queues_of
from services.gateway.domain.problems import schema_of
from services.gateway.idempotency.redis import Redis
from services.gateway.reads.dead_letters import SQL as LETTERS_SQL
from shared.contracts import topology
from shared.contracts.transfer import TransferSettled
from shared.database import Database, Row, is_transient, load_queries
from shared.ids import event_id
from shared.messaging.connection import Link
from shared.messaging.standing import standings
from shared.reporting.report import Report

log = structlog.get_logger(__name__)

SQL = load_queries(__file__, "pipeline.sql")
INSTANCES_SQL = load_queries(__file__, "instances.sql")

# For each part; all of them are looked at together.
_PART_TIMEOUT_S = 1.0
_PENDING_SEEN = 100
_SHARED_FOR_S = 1.0

Part = TypeVar("Part")
Ids = Callable[[Sequence[UUID]], Awaitable[set[UUID]]]

_report = msgspec.json.Decoder(Report)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of the stage before, and how it is known which of them the stage has."""

    behind: str
    database: Database
    newest: str
    at: str
    since: str
    present: Ids


@dataclass(frozen=True, slots=True)
class _Sample:
    """Pending records: how many there are, and of some how old, by a transfer that they hold."""

    count: int
    ages_s: Mapping[UUID, float]


class PipelineReads:
    """Looks at broker, Redis and every schema; one look at a time, shared by all who ask within a second."""

    def __init__(self, databases: Mapping[str, Database], redis: Redis, *, asking: Link, publishing: Link) -> None:
        self._databases = databases
        self._redis = redis
        # Whoever publishes on a connection gets no answers on it while the broker blocks publishers.
        self._asking = asking
        self._publishing = publishing
        self._before = _before(databases)
        self._looking: asyncio.Task[Look] | None = None
        self._looked_s = 0.0

    async def look(self) -> Look:
        """The pipeline as it was at most a second ago."""
        if self._looking is None or (self._looking.done() and time.monotonic() - self._looked_s > _SHARED_FOR_S):
            self._looked_s = time.monotonic()
            self._looking = asyncio.create_task(self._look(), name="pipeline look")
        return await asyncio.shield(self._looking)

    async def drain(self) -> None:
        """Returns when no look is under way."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def _look(self) -> Look:
        sample = asyncio.create_task(self._sample(), name="pipeline sample")
        # Parts never raise: what could not be looked at is a part, too.
        async with asyncio.TaskGroup() as group:
            queues = group.create_task(part(self._queues()))
            pending = group.create_task(part(_pending(sample)))
            fraud_lag = group.create_task(part(self._behind_gateway(sample)))
            lags = group.create_task(_each(self._before, self._lag))
            instances = group.create_task(_each(STAGES, self._instances))
            letters = group.create_task(_each(topology.CONSUMERS, self._letters))
            servers = group.create_task(self._servers())
        await asyncio.wait({sample})
        return Look(
            at=datetime.now(UTC),
            servers=servers.result(),
            queues=queues.result(),
            pending=pending.result(),
            instances=instances.result(),
            letters=letters.result(),
            lags={"fraud": fraud_lag.result(), **lags.result()},
        )

    async def _servers(self) -> dict[str, str]:
        checks = {
            "redis": self._redis.is_alive(),
            **{f"database {schema}": database.is_alive() for schema, database in self._databases.items()},
        }
        answers = await asyncio.gather(*map(part, checks.values()))
        broker = "down" if not self._publishing.is_up else "blocked" if self._publishing.is_blocked else "up"
        return {
            "broker": broker,
            **{name: "up" if found is True else "down" for name, found in zip(checks, answers, strict=True)},
        }

    async def _queues(self) -> Mapping[str, Standing | None]:
        names = [name for stage in STAGES for name in queues_of(stage)]
        found = await standings(self._asking, names, timeout_s=_PART_TIMEOUT_S)
        return {
            name: None if one is None else Standing(depth=one.depth, consumers=one.consumers)
            for name, one in found.items()
        }

    async def _sample(self) -> _Sample:
        async with asyncio.timeout(_PART_TIMEOUT_S):
            now, count, records = await self._redis.run("standing", [_PENDING_SEEN])
        ages_s = {UUID(name.decode()): max(int(now) - int(created), 0) / 1000 for name, created in records}
        return _Sample(count=int(count), ages_s=ages_s)

    async def _behind_gateway(self, sample: asyncio.Task[_Sample]) -> Lag:
        """What was accepted and has no verdict. What calls are about to publish is among it for some milliseconds."""
        found = await asyncio.shield(sample)
        rows = await self._databases["fraud"].fetch(SQL.decided, list(found.ages_s)) if found.ages_s else []
        decided = {row["id"] for row in rows}
        waiting_s = [age_s for transfer_id, age_s in found.ages_s.items() if transfer_id not in decided]
        capped = bool(waiting_s) and found.count > len(found.ages_s)
        return Lag(behind="gateway", age_s=max(waiting_s, default=0.0), rows=len(waiting_s), rows_capped=capped)

    async def _lag(self, stage: str) -> Lag:
        before = self._before[stage]
        newest = await before.database.fetchval(before.newest)
        seen = await _seen(before, places_back(newest)) if newest else []
        if between := places_between(seen):
            seen += await _seen(before, between)
        missing = oldest_missing(seen)
        if missing is None:
            return Lag(behind=before.behind, age_s=0.0, rows=0, rows_capped=False)
        rows = await before.database.fetchval(before.since, missing.place, ROWS_MAX + 1)
        return Lag(
            behind=before.behind,
            age_s=round(missing.age_s, 3),
            rows=min(rows, ROWS_MAX),
            rows_capped=rows > ROWS_MAX,
        )

    async def _instances(self, stage: str) -> list[Instance]:
        rows = await self._databases[schema_of(stage)].fetch(INSTANCES_SQL.list_instances)
        return [
            Instance(
                instance=row["instance"],
                started_at=row["started_at"],
                silent_s=max(row["silent_s"], 0.0),
                report=_report.decode(row["report"]),
            )
            for row in rows
        ]

    async def _letters(self, stage: str) -> int:
        return int(await self._databases[stage].fetchval(LETTERS_SQL.count_open))


def _before(databases: Mapping[str, Database]) -> Mapping[str, _Rows]:
    """Of each stage whose lag shows in rows the stage before it."""
    transfer, fraud = databases["transfer"], databases["fraud"]

    def has(stage: str, statement: str) -> Ids:
        async def present(ids: Sequence[UUID]) -> set[UUID]:
            return {row["id"] for row in await databases[stage].fetch(statement, ids)}

        return present

    async def audited(ids: Sequence[UUID]) -> set[UUID]:
        events = {event_id(transfer_id, TransferSettled.TYPE): transfer_id for transfer_id in ids}
        return {events[found] for found in await has("audit", SQL.audited)(list(events))}

    settled = (transfer, SQL.newest_settlement)
    return {
        "transfer": _Rows(
            "fraud", fraud, SQL.newest_decision, SQL.decisions_at, SQL.decisions_since, has("transfer", SQL.settled)
        ),
        "ledger": _Rows("transfer", *settled, SQL.completions_at, SQL.settlements_since, has("ledger", SQL.booked)),
        "audit": _Rows("transfer", *settled, SQL.settlements_at, SQL.settlements_since, audited),
    }


async def _seen(before: _Rows, places: Sequence[int]) -> list[Seen]:
    rows: list[Row] = await before.database.fetch(before.at, places)
    there = await before.present([row["id"] for row in rows]) if rows else set()
    return [
        Seen(place=row["xid"], id=row["id"], age_s=max(row["age_s"], 0.0), is_there=row["id"] in there) for row in rows
    ]


async def _pending(sample: asyncio.Task[_Sample]) -> Pending:
    found = await asyncio.shield(sample)
    return Pending(count=found.count, oldest_s=max(found.ages_s.values(), default=None))


async def _each(stages: Iterable[str], look: Callable[[str], Awaitable[Part]]) -> dict[str, Part | Unknown]:
    names = list(stages)
    found = await asyncio.gather(*(part(look(name)) for name in names))
    return dict(zip(names, found, strict=True))


async def part(looking: Awaitable[Part]) -> Part | Unknown:
    """What was found, or in plain words why it was not."""
    try:
        async with asyncio.timeout(_PART_TIMEOUT_S):
            return await looking
    except TimeoutError:
        return Unknown(f"no answer within {_PART_TIMEOUT_S:.0f} s")
    except Exception as error:
        if not is_transient(error):
            log.error("pipeline_not_looked_at", exc_info=error)
            return Unknown(type(error).__name__)
        return Unknown(str(error)[:200] or type(error).__name__)
