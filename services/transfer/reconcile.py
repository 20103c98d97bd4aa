"""Emits again what downstream has not seen: the row is the outbox, this is its relay of last resort.

A transfer is missing downstream if the ledger lacks an entry of a completed one, audit lacks its event, or fraud has
not released a failed one. The watermark passes a row only once it was proven present everywhere, and never passes the
oldest running transaction, so a row cannot slip below it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from services.transfer import rows
from services.transfer.settings import Settings, settings_from
from shared.contracts.base import Message
from shared.contracts.transfer import AccountChanged, Status, TransferSettled
from shared.database import Database, load_queries, open_database
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher
from shared.observability.metrics import RECONCILED
from shared.settings import Environment

SQL = load_queries(__file__)
DOWNSTREAM = load_queries(__file__, "downstream.sql")

LOCK_KEY = 7_203_341_001
_PAGE = 1_000
_BEGINNING = (0, UUID(int=0))
_changed = msgspec.json.Decoder(AccountChanged).decode

Mark = tuple[int, UUID]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An event that a row stands for, where it stands, and since when (the row's own time)."""

    mark: Mark
    event: Message
    since: datetime


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How far one sweep goes. `everything` starts at the first row and does not wait for running transactions."""

    grace_s: float
    items_max: int | None
    everything: bool = False


class Downstream:
    """What the other services have seen: ids and positions only, compared here, never joined there."""

    def __init__(self, ledger: Database, audit: Database, fraud: Database) -> None:
        self._ledger = ledger
        self._audit = audit
        self._fraud = fraud

    async def missing(self, events: Sequence[Message]) -> list[Message]:
        """Those of `events` that somebody has not seen, in order."""
        audited = await self._ids(self._audit, DOWNSTREAM.audited, [event.event_id for event in events])
        settled = [event for event in events if isinstance(event, TransferSettled)]
        completed = [e.instruction.transfer_id for e in settled if e.status is Status.COMPLETED]
        failed = [e.instruction.transfer_id for e in settled if e.status is Status.FAILED]
        booked = await self._ids(self._ledger, DOWNSTREAM.booked, completed)
        released = await self._ids(self._fraud, DOWNSTREAM.released, failed)

        def is_missing(event: Message) -> bool:
            if event.event_id not in audited:
                return True
            if not isinstance(event, TransferSettled):
                return False
            seen = {Status.COMPLETED: booked, Status.FAILED: released}.get(event.status)
            return seen is not None and event.instruction.transfer_id not in seen

        return [event for event in events if is_missing(event)]

    async def _ids(self, database: Database, statement: str, ids: list[UUID]) -> set[UUID]:
        return {row[0] for row in await database.fetch(statement, ids)} if ids else set()


class Reconcile:
    """One sweep over transactions and commands beyond their watermarks."""

    def __init__(self, database: Database, downstream: Downstream, publisher: Publisher, bounds: Bounds) -> None:
        self._database = database
        self._downstream = downstream
        self._publisher = publisher
        self._bounds = bounds

    async def sweep(self) -> int:
        """How many events were emitted again."""
        return await self._stream("transactions") + await self._stream("commands")

    async def _stream(self, name: str) -> int:
        position, passed, emitted = await self._start(name), True, 0
        while page := await self._page(name, position):
            position = page[-1].mark
            ripe = [candidate for candidate in page if self._is_ripe(candidate)]
            missing = await self._downstream.missing([candidate.event for candidate in ripe])
            passed = passed and len(ripe) == len(page) and not missing
            if passed:
                await self._pass(name, position)
            if missing:
                emitted += await self._emit(missing)
            if self._bounds.items_max is not None and emitted >= self._bounds.items_max:
                break
        return emitted

    async def _start(self, name: str) -> Mark:
        if self._bounds.everything:
            return _BEGINNING
        row = await self._database.fetchrow(SQL.read_watermark, name)
        return (row["xid"], row["id"]) if row else _BEGINNING

    async def _page(self, name: str, mark: Mark) -> list[Candidate]:
        everything = self._bounds.everything
        if name == "transactions":
            found = await self._database.fetch(SQL.transactions_beyond, *mark, everything, _PAGE)
            return [Candidate((r["xid"], r["id"]), rows.from_row(r), r["settled_at"]) for r in found]
        found = await self._database.fetch(SQL.commands_beyond, *mark, everything, _PAGE)
        return [Candidate((r["xid"], r["command_id"]), _changed(r["outcome"]), r["created_at"]) for r in found]

    def _is_ripe(self, candidate: Candidate) -> bool:
        # Younger ones are most likely on their way; what they miss shows at the next sweep.
        return datetime.now(UTC) - candidate.since >= timedelta(seconds=self._bounds.grace_s)

    async def _pass(self, name: str, mark: Mark) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(SQL.write_watermark, name, *mark)

    async def _emit(self, missing: Sequence[Message]) -> int:
        await self._publisher.publish(missing)
        RECONCILED.labels(missing[0].TYPE).inc(len(missing))
        return len(missing)


async def repair(environment: Environment) -> int:
    """Emits again everything that downstream lacks, from the first row on; how many events that were.

    Raises:
        SettingsError: an address is missing.
        TransientError: a server does not answer.
    """
    settings = settings_from(environment)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(settings.database_url, name="remit_transfer repair", schema="transfer")
        )
        downstream = await open_downstream(settings, stack)
        link = await stack.enter_async_context(Link(settings.amqp_url, name="transfer repair").opened())
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        bounds = Bounds(grace_s=0, items_max=None, everything=True)
        return await Reconcile(database, downstream, publisher, bounds).sweep()


async def open_downstream(settings: Settings, stack: AsyncExitStack) -> Downstream:
    """Pools on the views of ledger, audit and fraud, as transfer's own role."""
    opened = [
        await stack.enter_async_context(open_database(url, name=f"remit_transfer reads {schema}", connections_max=2))
        for schema, url in (
            ("ledger", settings.ledger_url),
            ("audit", settings.audit_url),
            ("fraud", settings.fraud_url),
        )
    ]
    return Downstream(*opened)
