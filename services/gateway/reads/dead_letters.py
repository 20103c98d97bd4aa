"""What the workers have parked, each in its own schema."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

import msgspec
from prometheus_client import Gauge

from services.gateway.background import repeatedly
from shared.database import Database, Row, load_queries

SQL = load_queries(__file__, "dead_letters.sql")

OPEN = Gauge("remit_dead_letters_open", "Letters that wait for an operator.", ["service"])
_COUNT_EVERY_S = 15.0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """One parked item: why, where it was met, and what became of it.

    `item_bytes` is the whole item's size; a list shows its beginning, and the end of the stack in `detail`.
    """

    id: UUID
    service: str
    message_type: str
    reason: str
    detail: str
    origin: str
    item: str
    item_bytes: int
    parked_at: datetime
    times_parked: int
    resolution: str | None
    resolved_at: datetime | None
    resolved_by: UUID | None


class DeadLetterReads:
    """Reads of the views `dead_letters_all`; each schema may live on another server."""

    def __init__(self, databases: Mapping[str, Database]) -> None:
        self._databases = databases

    async def page(
        self, services: list[str], *, with_resolved: bool, before: tuple[datetime, UUID] | None, limit: int
    ) -> list[DeadLetter]:
        """Letters of these services, newest first."""
        moment, place = before or (None, None)
        found = []
        for service in services:
            rows = await self._databases[service].fetch(SQL.list_letters, with_resolved, moment, place, limit)
            found += [_letter(service, row) for row in rows]
        return sorted(found, key=lambda letter: (letter.parked_at, letter.id), reverse=True)[:limit]

    async def find(self, letter_id: UUID) -> DeadLetter | None:
        """One letter, whole, whoever parked it: ids derive from the queue, so that no two services share one."""
        for service in self._databases:
            letter = await self.of(service, letter_id)
            if letter is not None:
                return letter
        return None

    async def of(self, service: str, letter_id: UUID) -> DeadLetter | None:
        """One letter of one service."""
        row = await self._databases[service].fetchrow(SQL.find_letter, letter_id)
        return None if row is None else _letter(service, row)

    async def about(self, service: str, transfer_id: UUID) -> list[DeadLetter]:
        """A service's letters that hold this transfer, open or closed, among its newest."""
        rows = await self._databases[service].fetch(SQL.letters_of, str(transfer_id))
        return [_letter(service, row) for row in rows]

    async def watch(self) -> None:
        """Counts the open ones until cancelled."""
        await repeatedly("dead letters", self._count, every_s=_COUNT_EVERY_S)

    async def _count(self) -> None:
        for service, database in self._databases.items():
            OPEN.labels(service).set(await database.fetchval(SQL.count_open))


def _letter(service: str, row: Row) -> DeadLetter:
    fields = {name: row[name] for name in DeadLetter.__struct_fields__ if name not in {"id", "service"}}
    return DeadLetter(id=row["letter_id"], service=service, **fields)
