"""The reconciler: the rows are the outbox, this is their relay of last resort.

What a service has committed and somebody downstream has not seen is published again: on every connect to the broker,
every minute, and from `remit repair`. The watermark passes a row only once it was proven present downstream, and never
passes the oldest running transaction, so that no row can slip below it. Where the rows are, and how one is known to be
missing, is each service's own (`reconcile.py`); ids alone are compared, for the schemas may live on different servers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Protocol
from uuid import UUID

import structlog

from shared.contracts.base import Message
from shared.database import Database
from shared.messaging.publisher import Emission, Publisher
from shared.observability.metrics import RECONCILED, UNRECONCILED, ChoreMeter

log = structlog.get_logger(__name__)

_PAGE = 1_000
_PAUSE_SWEEPS_MAX = 10
# After each page it rests so many times as long as the page took: the rows of a busy minute are a hundred thousand, and
# whoever transfers meanwhile shall not wait for them to be compared. Still some thousands a second, more than come.
_RESTS = 3

# A transaction id, and a place among its rows: the order in which rows become final.
Position = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that stands for an event: where it stands, and how old it is by its database's clock."""

    key: UUID
    position: Position
    age_s: float


class Source(Protocol):
    """The rows of one service that stand for events."""

    @property
    def beginning(self) -> Position:
        """A position that no row precedes."""

    async def read_watermark(self) -> Position:
        """The position before which everything was proven present."""

    async def move_watermark(self, position: Position) -> None:
        """Remembers that everything before `position` was proven present; forwards only."""

    async def page(self, start: Position, limit: int, *, final_only: bool) -> Sequence[Candidate]:
        """The rows from `start` on (inclusive), in order; `final_only` stops before the oldest running transaction."""

    async def present(self, keys: Sequence[UUID]) -> set[UUID]:
        """Those of `keys` that everybody downstream has seen."""

    async def events(self, keys: Sequence[UUID]) -> Sequence[Message]:
        """What is to be published for these rows."""


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far one sweep goes. `everything` starts at the first row and does not wait for running transactions."""

    grace_s: float
    items_max: int | None
    everything: bool = False


REPAIR = Bounds(grace_s=0, items_max=None, everything=True)


@dataclass(slots=True)
class _Absent:
    """A row whose event was not found: published now, then after 1, 2, 4, … sweeps.

    So a service that was away does not come back to a queue full of repetitions.
    """

    position: Position
    wait: int = 0
    pause: int = 1

    def published(self) -> None:
        self.wait, self.pause = self.pause, min(self.pause * 2, _PAUSE_SWEEPS_MAX)


class Sweep:
    """Sweeps over the rows of one source beyond its watermark.

    Between sweeps it remembers how far it has looked and what was absent there: one event that is held up keeps the
    watermark where it is, and must not have everything behind it compared again every minute.
    """

    def __init__(self, source: Source, publisher: Publisher, bounds: Bounds) -> None:
        self._source = source
        self._publisher = publisher
        self._bounds = bounds
        self._seen_to: Position = source.beginning
        # In order of position.
        self._absent: dict[UUID, _Absent] = {}
        self._hurries = bounds.everything

    def expect_loss(self) -> None:
        """The broker is another one, or lost its data, for all we know: whatever is absent is due at once."""
        for absent in self._absent.values():
            absent.wait, absent.pause = 0, 1
        self._hurries = True

    @property
    def absent(self) -> int:
        """How many events the last sweep did not find downstream."""
        return len(self._absent)

    async def run(self) -> int:
        """One sweep: how many events were published again."""
        await self._read_watermark()
        for key in await self._source.present(list(self._absent)) if self._absent else ():
            del self._absent[key]
        await self._look_further()
        published = await self._publish(self._due())
        if not self._bounds.everything:
            first_absent = next((absent.position for absent in self._absent.values()), self._seen_to)
            await self._source.move_watermark(first_absent)
            self._hurries = False
        return published

    async def _read_watermark(self) -> None:
        if self._bounds.everything:
            return
        # Another process may have come further.
        mark = await self._source.read_watermark()
        self._seen_to = max(self._seen_to, mark)
        self._absent = {key: absent for key, absent in self._absent.items() if absent.position >= mark}

    async def _look_further(self) -> None:
        room = self._bounds.items_max
        while room is None or len(self._absent) < room:
            begun_s = time.monotonic()
            page = await self._source.page(self._seen_to, _PAGE, final_only=not self._bounds.everything)
            # Up to the first that is too young: its message is most likely on its way.
            ripe = list(takewhile(lambda row: row.age_s >= self._bounds.grace_s, page))
            present = await self._source.present([row.key for row in ripe]) if ripe else set()
            for row in ripe:
                if row.key not in present:
                    self._absent.setdefault(row.key, _Absent(row.position))
            if ripe:
                self._seen_to = ripe[-1].position
            if len(ripe) < _PAGE:
                break
            if not self._hurries:
                await asyncio.sleep(_RESTS * (time.monotonic() - begun_s))

    def _due(self) -> list[UUID]:
        """Those whose turn it is, the oldest first; the others come one sweep nearer to theirs."""
        for absent in self._absent.values():
            absent.wait = max(absent.wait - 1, 0)
        due = [key for key, absent in self._absent.items() if not absent.wait]
        return due[: self._bounds.items_max]

    async def _publish(self, keys: Sequence[UUID]) -> int:
        for start in range(0, len(keys), _PAGE):
            part = keys[start : start + _PAGE]
            events = await self._source.events(part)
            await self._publisher.emit(Emission(events=events))
            for event in events:
                RECONCILED.labels(event.TYPE).inc()
            for key in part:
                self._absent[key].published()
        return len(keys)


class Reconciler:
    """Runs a service's sweeps when they are due, under its advisory lock, so that one process a service does it."""

    def __init__(self, database: Database, sweeps: Sequence[Sweep], *, lock_key: int, every_s: float) -> None:
        self._database = database
        self._sweeps = sweeps
        self._lock_key = lock_key
        self._every_s = every_s
        self._due = asyncio.Event()
        self._meter = ChoreMeter("reconcile")

    def on_connect(self) -> None:
        """The broker came back: look now, not in a minute."""
        for sweep in self._sweeps:
            sweep.expect_loss()
        self._due.set()

    async def run(self) -> None:
        """Sweeps until cancelled; trouble is logged and tried again at the next turn."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._every_s):
                    await self._due.wait()
            self._due.clear()
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - repair never takes down the work that it repairs
                self._meter.postponed()
                log.warning("reconcile_postponed", error=repr(error))

    async def once(self) -> int | None:
        """One round: how many events were published again, or None while another process holds the lock."""
        async with self._database.advisory_lock(self._lock_key) as held:
            if not held:
                return None
            published = sum([await sweep.run() for sweep in self._sweeps])
        UNRECONCILED.set(sum(sweep.absent for sweep in self._sweeps))
        self._meter.ended()
        if published:
            log.info("reconciled", items=published)
        return published


async def repair(sources: Sequence[Source], publisher: Publisher) -> int:
    """Publishes everything that downstream lacks, from the first row on; how many events that were."""
    return sum([await Sweep(source, publisher, REPAIR).run() for source in sources])
