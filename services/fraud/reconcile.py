"""Which decisions somebody downstream has not seen: those without a transfer row, and those that audit lacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from services.fraud import rows
from services.fraud.settings import Settings, settings_from
from services.fraud.store import SQL
from shared.contracts.base import Message
from shared.contracts.fraud import TransferScreened
from shared.database import Database, load_queries, open_database
from shared.ids import event_id
from shared.messaging import reconciler
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher
from shared.messaging.reconciler import Candidate, Position
from shared.settings import Environment

DOWNSTREAM = load_queries(__file__, "downstream.sql")

LOCK_KEY = 7_203_341_002


@dataclass(frozen=True, slots=True)
class Downstream:
    """The views of the services that take verdicts, as fraud's own role."""

    transfer: Database
    audit: Database


class Decisions:
    """`fraud.decisions` as a reconciler's source."""

    beginning: Position = (0, 0)

    def __init__(self, database: Database, downstream: Downstream) -> None:
        self._database = database
        self._downstream = downstream

    async def read_watermark(self) -> Position:
        row = await self._database.fetchrow(SQL.read_watermark)
        return (row["xid"], row["place"]) if row else self.beginning

    async def move_watermark(self, position: Position) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(SQL.move_watermark, *position)

    async def page(self, start: Position, limit: int, *, final_only: bool) -> Sequence[Candidate]:
        found = await self._database.fetch(SQL.decisions_from, *start, final_only, limit)
        return [Candidate(row["transfer_id"], (row["xid"], row["place"]), row["age_s"]) for row in found]

    async def present(self, keys: Sequence[UUID]) -> set[UUID]:
        settled = {row["id"] for row in await self._downstream.transfer.fetch(DOWNSTREAM.settled, keys)}
        events = {event_id(key, TransferScreened.TYPE): key for key in settled}
        audited = await self._downstream.audit.fetch(DOWNSTREAM.audited, list(events))
        return {events[row["event_id"]] for row in audited}

    async def events(self, keys: Sequence[UUID]) -> Sequence[Message]:
        return [rows.from_payload(row["payload"]) for row in await self._database.fetch(SQL.payloads, keys)]


@asynccontextmanager
async def open_downstream(settings: Settings) -> AsyncIterator[Downstream]:
    """Pools on the views that the reconciler reads."""
    async with (
        open_database(settings.transfer_url, name="remit_fraud reads transfer", connections_max=2) as transfer,
        open_database(settings.audit_url, name="remit_fraud reads audit", connections_max=2) as audit,
    ):
        yield Downstream(transfer, audit)


async def repair(environment: Environment) -> int:
    """Emits again every decision that transfer or audit lacks, from the first on; how many those were.

    Raises:
        SettingsError: an address is missing.
        TransientError: a server does not answer.
    """
    settings = settings_from(environment)
    async with (
        open_database(settings.database_url, name="remit_fraud repair", schema="fraud") as database,
        open_downstream(settings) as downstream,
        Link(settings.amqp_url, name="fraud repair").opened() as link,
    ):
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        return await reconciler.repair([Decisions(database, downstream)], publisher)
