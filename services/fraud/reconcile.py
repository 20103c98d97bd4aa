"""Emits `screened` again for decisions that have no transfer row: the row is the outbox, this its relay of last resort.

The watermark passes a row only once its transfer was found, and never passes the oldest running transaction, so no
row can slip below it. Ids alone are compared: transfer's schema may live on another server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import takewhile
from uuid import UUID

from services.fraud import rows
from services.fraud.settings import Settings, settings_from
from services.fraud.store import SQL
from shared.contracts.fraud import TransferScreened
from shared.database import Database, Row, load_queries, open_database
from shared.messaging.connection import Link
from shared.messaging.publisher import Emission, Publisher
from shared.observability.metrics import RECONCILED
from shared.settings import Environment

DOWNSTREAM = load_queries(__file__, "downstream.sql")

LOCK_KEY = 7_203_341_002
_PAGE = 1_000
_PAUSE_MAX = 10
_BEGINNING = (0, 0)
_NO_HORIZON = 2**64 - 1

# A transaction, and a place among its decisions.
Position = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far one sweep goes. `everything` starts at the first row and does not wait for running transactions."""

    grace_s: float
    items_max: int | None
    everything: bool = False


@dataclass(slots=True)
class _Absent:
    """A decision whose transfer was not found: emitted now, then after 1, 2, 4, … sweeps.

    So a transfer service that was away does not come back to a queue full of repetitions.
    """

    position: Position
    wait: int = 0
    pause: int = 1

    def emitted(self) -> None:
        self.wait, self.pause = self.pause, min(self.pause * 2, _PAUSE_MAX)


class Reconcile:
    """Sweeps over the decisions beyond the watermark.

    Between sweeps it remembers how far it has looked and what was absent there: a single transfer that is held up
    keeps the watermark where it is, and must not have everything behind it compared again every minute.
    """

    def __init__(self, database: Database, transfer: Database, publisher: Publisher, bounds: Bounds) -> None:
        self._database = database
        self._transfer = transfer
        self._publisher = publisher
        self._bounds = bounds
        self._seen_to: Position = _BEGINNING
        # In order of position.
        self._absent: dict[UUID, _Absent] = {}

    def expect_loss(self) -> None:
        """The broker is another one, or lost its data, for all we know: whatever is absent is due at once."""
        for absent in self._absent.values():
            absent.wait, absent.pause = 0, 1

    async def sweep(self) -> int:
        """How many events were emitted again."""
        if not self._bounds.everything:
            await self._read_watermark()
        for transfer_id in await self._present(list(self._absent)):
            del self._absent[transfer_id]
        await self._look_further()
        emitted = await self._emit(self._due())
        if not self._bounds.everything:
            await self._move_watermark()
        return emitted

    async def _read_watermark(self) -> None:
        """Another process may have come further."""
        row = await self._database.fetchrow(SQL.read_watermark)
        mark = (row["xid"], row["place"]) if row else _BEGINNING
        self._seen_to = max(self._seen_to, mark)
        self._absent = {key: absent for key, absent in self._absent.items() if absent.position >= mark}

    async def _move_watermark(self) -> None:
        mark = next((absent.position for absent in self._absent.values()), self._seen_to)
        async with self._database.transaction() as connection:
            await connection.execute(SQL.move_watermark, *mark)

    async def _look_further(self) -> None:
        everything = self._bounds.everything
        horizon = _NO_HORIZON if everything else await self._database.fetchval(SQL.horizon)
        room = self._bounds.items_max
        while room is None or len(self._absent) < room:
            page = await self._database.fetch(SQL.decisions_from, *self._seen_to, horizon, _PAGE)
            # Up to the first that is too young: its message is most likely on its way.
            ripe = list(takewhile(lambda row: row["age_s"] >= self._bounds.grace_s, page))
            present = await self._present([row["transfer_id"] for row in ripe])
            for row in ripe:
                if row["transfer_id"] not in present:
                    self._absent.setdefault(row["transfer_id"], _Absent(_position(row)))
            if ripe:
                self._seen_to = _position(ripe[-1])
            if len(ripe) < _PAGE:
                break

    def _due(self) -> list[UUID]:
        """Those whose turn it is, the oldest first; the others come one sweep nearer to theirs."""
        for absent in self._absent.values():
            absent.wait = max(absent.wait - 1, 0)
        due = [transfer_id for transfer_id, absent in self._absent.items() if not absent.wait]
        return due[: self._bounds.items_max]

    async def _present(self, transfer_ids: Sequence[UUID]) -> set[UUID]:
        if not transfer_ids:
            return set()
        return {row["id"] for row in await self._transfer.fetch(DOWNSTREAM.present, transfer_ids)}

    async def _emit(self, transfer_ids: Sequence[UUID]) -> int:
        for start in range(0, len(transfer_ids), _PAGE):
            part = transfer_ids[start : start + _PAGE]
            found = await self._database.fetch(SQL.payloads, part)
            await self._publisher.emit(Emission(events=[rows.from_payload(row["payload"]) for row in found]))
            RECONCILED.labels(TransferScreened.TYPE).inc(len(found))
            for transfer_id in part:
                self._absent[transfer_id].emitted()
        return len(transfer_ids)


def _position(row: Row) -> Position:
    return row["xid"], row["place"]


@asynccontextmanager
async def open_transfer(settings: Settings) -> AsyncIterator[Database]:
    """A pool on transfer's views, as fraud's own role."""
    async with open_database(settings.transfer_url, name="remit_fraud reads", connections_max=2) as database:
        yield database


async def repair(environment: Environment) -> int:
    """Emits again every decision that has no transfer row, from the first on; how many those were.

    Raises:
        SettingsError: an address is missing.
        TransientError: a server does not answer.
    """
    settings = settings_from(environment)
    async with (
        open_database(settings.database_url, name="remit_fraud repair", schema="fraud") as database,
        open_transfer(settings) as transfer,
        Link(settings.amqp_url, name="fraud repair").opened() as link,
    ):
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        bounds = Bounds(grace_s=0, items_max=None, everything=True)
        return await Reconcile(database, transfer, publisher, bounds).sweep()
