"""Which outcomes somebody downstream has not seen: ledger lacks an entry, audit an event, fraud a release."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import msgspec

from services.transfer import rows
from services.transfer.settings import Settings, settings_from
from services.transfer.store import SQL
from shared.contracts.base import Message
from shared.contracts.transfer import AccountChanged, Status, TransferSettled
from shared.database import Database, load_queries, open_database
from shared.ids import event_id
from shared.messaging import reconciler
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher
from shared.messaging.reconciler import Candidate, Position, Source
from shared.settings import Environment

DOWNSTREAM = load_queries(__file__, "downstream.sql")

LOCK_KEY = 7_203_341_001

_changed = msgspec.json.Decoder(AccountChanged).decode


@dataclass(frozen=True, slots=True)
class Downstream:
    """The views of the services that take outcomes, as transfer's own role: ids and positions only."""

    ledger: Database
    audit: Database
    fraud: Database

    async def audited(self, event_ids: Iterable[UUID]) -> set[UUID]:
        """Those events that audit has recorded."""
        return {row["event_id"] for row in await self.audit.fetch(DOWNSTREAM.audited, list(event_ids))}

    async def booked(self, transfer_ids: Sequence[UUID]) -> set[UUID]:
        """Those transfers that have both their ledger entries."""
        return {row["transfer_id"] for row in await self.ledger.fetch(DOWNSTREAM.booked, transfer_ids)}

    async def released(self, transfer_ids: Sequence[UUID]) -> set[UUID]:
        """Those transfers whose amount fraud no longer holds."""
        return {row["transfer_id"] for row in await self.fraud.fetch(DOWNSTREAM.released, transfer_ids)}


class _Rows:
    """What the two sources have in common: a watermark by name, and pages in the order of transactions."""

    beginning: Position = (0, UUID(int=0))

    def __init__(self, database: Database, downstream: Downstream, name: str, page_statement: str) -> None:
        self._database = database
        self._downstream = downstream
        self._name = name
        self._page_statement = page_statement

    async def read_watermark(self) -> Position:
        row = await self._database.fetchrow(SQL.read_watermark, self._name)
        return (row["xid"], row["id"]) if row else self.beginning

    async def move_watermark(self, position: Position) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(SQL.move_watermark, self._name, *position)

    async def page(self, start: Position, limit: int, *, final_only: bool) -> Sequence[Candidate]:
        found = await self._database.fetch(self._page_statement, *start, final_only, limit)
        return [Candidate(row["key"], (row["xid"], row["key"]), row["age_s"]) for row in found]


class Transactions(_Rows):
    """`transfer.transactions` as a reconciler's source."""

    def __init__(self, database: Database, downstream: Downstream) -> None:
        super().__init__(database, downstream, "transactions", SQL.transactions_from)

    async def present(self, keys: Sequence[UUID]) -> set[UUID]:
        found = await self._database.fetch(SQL.transaction_statuses, keys)
        by_status: dict[str, list[UUID]] = {status: [] for status in Status}
        for row in found:
            by_status[row["status"]].append(row["id"])
        done = set(by_status[Status.BLOCKED])
        done |= await self._downstream.booked(by_status[Status.COMPLETED])
        done |= await self._downstream.released(by_status[Status.FAILED])
        events = {event_id(key, TransferSettled.TYPE): key for key in done}
        return {events[found_id] for found_id in await self._downstream.audited(events)}

    async def events(self, keys: Sequence[UUID]) -> Sequence[Message]:
        return [rows.from_row(row) for row in await self._database.fetch(SQL.find_transactions, keys)]


class Commands(_Rows):
    """`transfer.commands` as a reconciler's source; audit alone takes their outcomes for good."""

    def __init__(self, database: Database, downstream: Downstream) -> None:
        super().__init__(database, downstream, "commands", SQL.commands_from)

    async def present(self, keys: Sequence[UUID]) -> set[UUID]:
        found = await self._database.fetch(SQL.find_commands, keys)
        events = {
            event_id(row["command_id"], AccountChanged.TYPE, row["fingerprint"]): row["command_id"] for row in found
        }
        return {events[found_id] for found_id in await self._downstream.audited(events)}

    async def events(self, keys: Sequence[UUID]) -> Sequence[Message]:
        return [_changed(row["outcome"]) for row in await self._database.fetch(SQL.find_commands, keys)]


@asynccontextmanager
async def open_downstream(settings: Settings) -> AsyncIterator[Downstream]:
    """Pools on the views that the reconciler reads."""
    async with (
        open_database(settings.ledger_url, name="remit_transfer reads ledger", connections_max=2) as ledger,
        open_database(settings.audit_url, name="remit_transfer reads audit", connections_max=2) as audit,
        open_database(settings.fraud_url, name="remit_transfer reads fraud", connections_max=2) as fraud,
    ):
        yield Downstream(ledger, audit, fraud)


async def repair(environment: Environment) -> int:
    """Emits again everything that downstream lacks, from the first row on; how many events that were.

    Raises:
        SettingsError: an address is missing.
        TransientError: a server does not answer.
    """
    settings = settings_from(environment)
    async with (
        open_database(settings.database_url, name="remit_transfer repair", schema="transfer") as database,
        open_downstream(settings) as downstream,
        Link(settings.amqp_url, name="transfer repair").opened() as link,
    ):
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        sources: list[Source] = [Transactions(database, downstream), Commands(database, downstream)]
        return await reconciler.repair(sources, publisher)
