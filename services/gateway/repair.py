"""What Redis remembers as ended and no row tells of: the database was restored to a moment before it.

The clients were told that these transfers are completed. They are asked for again, under their own ids, by whichever
gateway sweeps next; of a batch call Redis keeps no requests, so its key is freed for the client who repeats it.
Refusals stay as they are: no money moved then, and nobody wants it moved now.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from uuid import UUID

import msgspec

from services.gateway.calls.transfers import millis
from services.gateway.idempotency.claims import requests_of, single_record
from services.gateway.idempotency.redis import Argument, Redis, open_redis
from shared.database import Database, load_queries, open_database
from shared.settings import Environment, reads_postgres_url, redis_url

SQL = load_queries(__file__, "repair.sql")

_PAGE_KEYS = 1_000
_REDIS_TIMEOUT_S = 10.0
_COMPLETED = 201


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A record that has ended, as Redis keeps it."""

    name: str
    fingerprint: str
    status: int
    payload: bytes
    member: str

    @property
    def is_batch(self) -> bool:
        return self.name.startswith("b:")

    @property
    def transfer_id(self) -> UUID | None:
        """A transfer that it told of; None where it told of none."""
        text = self.member if self.is_batch else self.name.removeprefix("t:")
        return UUID(text) if text else None


async def repair(environment: Environment) -> int:
    """Takes back every end that the database does not know; how many there were.

    Raises:
        SettingsError: an address is missing.
        TransientError: a server does not answer.
    """
    url = reads_postgres_url(environment, "gateway", "transfer")
    async with (
        open_redis(redis_url(environment), timeout_s=_REDIS_TIMEOUT_S) as redis,
        open_database(url, name="remit_gateway repair", schema="transfer", connections_max=2) as database,
    ):
        return await take_back(redis, database)


async def take_back(redis: Redis, database: Database) -> int:
    """The same on open connections."""
    cursor, taken = b"0", 0
    while True:
        cursor, found = await redis.run("ended", [cursor, _PAGE_KEYS])
        lost = await _lost([_ended(item) for item in found], database)
        if lost:
            taken += await redis.run("revive", [argument for record in lost for argument in _arguments(record)])
        if cursor == b"0":
            return taken


def _ended(item: Sequence[bytes]) -> Ended:
    name, fingerprint, status, payload, member = item
    return Ended(
        name=name.decode(),
        fingerprint=fingerprint.decode(),
        status=int(status),
        payload=payload,
        member=member.decode(),
    )


async def _lost(records: Sequence[Ended], database: Database) -> list[Ended]:
    """Those that moved money, as their clients were told, of which there is no row."""
    told = [record for record in records if record.is_batch or record.status == _COMPLETED]
    wanted = {record.transfer_id for record in told} - {None}
    known = {row["id"] for row in await database.fetch(SQL.known, list(wanted))} if wanted else set()
    return [record for record in told if record.transfer_id in wanted - known]


def _arguments(record: Ended) -> Iterator[Argument]:
    request = next(iter(requests_of(record.payload)), None)
    users = "" if request is None else single_record(request).users
    asked_ms = 0 if request is None else millis(request.instruction.requested_at)
    yield from (record.name, record.fingerprint, users, asked_ms)
