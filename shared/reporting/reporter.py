"""Says how this process is, once a second, until it stops; then it is not there any more."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Gauge

from shared.database import Database, load_queries
from shared.observability.metrics import BATCH_ITEMS, CHORE_ENDED, CHORE_POSTPONED, CONSUMED, PUBLISHED
from shared.reporting.rates import Counted, Rates
from shared.reporting.report import Chore, Report

log = structlog.get_logger(__name__)

SQL = load_queries(__file__)

_EVERY_S = 1.0
# One that ended without a word is shown as silent for a while, then it is gone.
_FORGOTTEN_AFTER_S = 60.0
_FORGET_EVERY_BEATS = 30
_LEAVE_TIMEOUT_S = 1.0
_COMMON = {
    "consumed": Counted(counter=CONSUMED, by="queue"),
    "batches": Counted(counter=BATCH_ITEMS, by="queue"),
    "published": Counted(counter=PUBLISHED, by="type"),
}


class Consuming(Protocol):
    """What is told of a consumer."""

    queue: str

    @property
    def unacknowledged(self) -> int: ...


class Reporter:
    """Tells the table `instances` of the service's schema what `counters`, `gauges`, `consumers`, `settings` say."""

    def __init__(
        self,
        database: Database,
        instance: str,
        *,
        consumers: Sequence[Consuming] = (),
        counters: Mapping[str, Counted] | None = None,
        gauges: Mapping[str, Gauge] | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._database = database
        self._instance = instance
        self._consumers = consumers
        self._rates = Rates({**_COMMON, **(counters or {})})
        self._gauges = gauges or {}
        self._settings = dict(settings or {})

    async def run(self) -> None:
        """Reports until cancelled; while the database is away there is nobody to tell."""
        beats, is_heard = 0, True
        try:
            while True:
                try:
                    await self._beat(forgets=beats % _FORGET_EVERY_BEATS == 0)
                    is_heard = True
                except Exception as error:  # noqa: BLE001 - a word about the work never takes down the work
                    if is_heard:
                        log.warning("report_postponed", error=repr(error))
                    is_heard = False
                beats += 1
                await asyncio.sleep(_EVERY_S)
        finally:
            await self._leave()

    async def _beat(self, *, forgets: bool) -> None:
        await self._database.fetch(SQL.report, self._instance, msgspec.json.encode(self.report()).decode())
        if forgets:
            await self._database.fetch(SQL.forget_others, _FORGOTTEN_AFTER_S)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT_S):
                await self._database.fetch(SQL.leave, self._instance)
        except Exception as error:  # noqa: BLE001 - it is forgotten in a minute anyway
            log.info("left_without_a_word", error=repr(error))

    def report(self) -> Report:
        """How it is now."""
        figures = {name: _value(gauge) for name, gauge in self._gauges.items()}
        return Report(
            rates=self._rates.look(),
            unacknowledged={consumer.queue: consumer.unacknowledged for consumer in self._consumers},
            chores=_chores(),
            figures={name: value for name, value in figures.items() if not math.isnan(value)},
            settings=self._settings,
        )


def _chores() -> dict[str, Chore]:
    ended = {sample.labels["chore"]: sample.value for family in CHORE_ENDED.collect() for sample in family.samples}
    postponed = Counted(counter=CHORE_POSTPONED, by="chore").values()
    return {
        name: Chore(
            ended_at=datetime.fromtimestamp(ended[name], UTC) if ended.get(name) else None,
            postponed=int(postponed.get(name, 0)),
        )
        for name in ended | postponed
    }


def _value(gauge: Gauge) -> float:
    return next((sample.value for family in gauge.collect() for sample in family.samples), math.nan)
