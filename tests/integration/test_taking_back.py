"""`remit repair` after a restore: what Redis calls completed and no row tells of is pending again, or its key free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.gateway.idempotency.claims import (
    Claim,
    Claimed,
    Met,
    Record,
    Replay,
    Taken,
    batch_record,
    requests_of,
    single_record,
)
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import Redis, open_redis
from services.gateway.repair import take_back
from shared.contracts.gateway import TransferRequested
from shared.database import Database, open_database
from tests.support.builders import requested
from tests.support.services import deposit, ids, in_process

_ASKED_MS = 1_000


@dataclass(frozen=True)
class Gateway:
    """The records as a gateway works on them, and the database as its role reads it."""

    records: Records
    redis: Redis
    database: Database

    async def ended(self, record: Record, status: int) -> None:
        """A call has claimed it, and was told its end."""
        assert isinstance(await self.meets(record), Claimed)
        await self.records.end(record.name, record.fingerprint, status, b"as it was told", _ASKED_MS)

    async def meets(self, record: Record) -> Met:
        """What a call with the same key is met with."""
        return await self.records.claim(Claim(record=record, token=uuid4().hex, lease_s=0.001))

    async def take_back(self) -> int:
        return await take_back(self.redis, self.database)


@pytest.fixture
async def gateway(servers: Stack) -> AsyncIterator[Gateway]:
    url = servers.env["REMIT_IDENTITY_POSTGRES_URL"]
    async with (
        open_redis(servers.env["REMIT_REDIS_URL"], timeout_s=5) as redis,
        open_database(url, name="tests", schema="transfer") as database,
    ):
        records = Records(redis, f"test-{uuid4().hex}", ip_rate_limit=None, ip_rate_window_s=60)
        await records.register_again()
        yield Gateway(records, redis, database)


async def _settled(servers: Stack) -> TransferRequested:
    """A request whose row there is."""
    async with in_process(servers) as services:
        [account] = ids(await services.open_accounts(1))
        request = deposit(account, 500)
        await services.transfer_all(request)
    return request


async def test_a_completed_transfer_without_a_row_is_pending_again_and_due_at_once(gateway: Gateway) -> None:
    """With the request that the client made, so that a sweeper asks for it again; repairing twice changes nothing."""
    request = requested()
    record = single_record(request)
    await gateway.ended(record, 201)
    assert await gateway.take_back() >= 1
    _, _, due = await gateway.records.take_due(10_000, 5_000, 5_000, can_publish=True)
    assert [item[2] for item in due if item[0].decode() == record.name] == [record.payload]
    met = await gateway.meets(record)
    assert isinstance(met, Taken)
    assert (requests_of(met.payload), met.is_published) == ([request], False)
    assert request in await gateway.records.pending_of(request.instruction.owner_id, 10_000)
    assert await gateway.take_back() == 0


async def test_what_has_its_row_stays_as_it_was_told(servers: Stack, gateway: Gateway) -> None:
    request = await _settled(servers)
    single = single_record(request)
    batch = batch_record(uuid4(), "v1:batch", [request, requested()])
    await gateway.ended(single, 201)
    await gateway.ended(batch, 200)
    await gateway.take_back()
    assert await gateway.meets(single) == Replay(201, b"as it was told")
    assert await gateway.meets(batch) == Replay(200, b"as it was told")


@pytest.mark.parametrize("status", [403, 404, 422])
async def test_a_refusal_stays_although_no_row_tells_of_it(gateway: Gateway, status: int) -> None:
    """Its client may have paid in another way since: nobody wants that money moved now."""
    record = single_record(requested())
    await gateway.ended(record, status)
    await gateway.take_back()
    assert await gateway.meets(record) == Replay(status, b"as it was told")


async def test_a_batch_without_its_rows_is_forgotten_and_its_key_is_free(gateway: Gateway) -> None:
    """Else its client would be told, item by item, of accounts that do not exist."""
    record = batch_record(uuid4(), "v1:batch", [requested(), requested()])
    await gateway.ended(record, 200)
    assert await gateway.take_back() >= 1
    assert isinstance(await gateway.meets(record), Claimed)


async def test_what_is_pending_stays_pending(gateway: Gateway) -> None:
    record = single_record(requested())
    assert isinstance(await gateway.meets(record), Claimed)
    await gateway.take_back()
    met = await gateway.meets(record)
    assert not isinstance(met, Claimed | Replay)
