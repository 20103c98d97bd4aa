"""How often a pending record is looked at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.gateway.idempotency.claims import Claim, Record
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import Redis, open_redis

_PAUSE_MS, _PAUSE_MAX_MS = 5_000, 600_000


@pytest.fixture
async def redis(servers: Stack) -> AsyncIterator[Redis]:
    async with open_redis(servers.env["REMIT_REDIS_URL"], timeout_s=2) as redis:
        yield redis


async def _pause_ms(redis: Redis, records: Records, record: Record, *, can_publish: bool) -> int:
    """After how long it is due again once it is looked at, which is now."""
    connection = await redis._connection()
    try:
        await redis._ask(connection, "ZADD", "remit:due", 0, record.name)
        now_ms, _, found = await records.take_due(10, _PAUSE_MS, _PAUSE_MAX_MS, can_publish=can_publish)
        assert record.name.encode() in [one[0] for one in found]
        due_ms = float(await redis._ask(connection, "ZSCORE", "remit:due", record.name))
    finally:
        await redis._pool.release(connection)
    return int(due_ms) - now_ms


async def test_looks_at_which_nothing_can_be_published_do_not_put_the_next_one_off(redis: Redis) -> None:
    """After a long outage of the broker a record is due as soon as after a short one."""
    records = Records(redis, uuid4().hex, ip_rate_limit=None, ip_rate_window_s=60)
    record = Record(name=f"t:{uuid4()}", fingerprint="v1:x", payload=b"[]", users=str(uuid4()))
    await records.claim(Claim(record=record, token=uuid4().hex, lease_s=-1.0))
    outage = [await _pause_ms(redis, records, record, can_publish=False) for _ in range(6)]
    after = [await _pause_ms(redis, records, record, can_publish=True) for _ in range(3)]
    await records.discard(record.name, record.fingerprint)
    assert outage == [_PAUSE_MS] * 6
    assert after == [_PAUSE_MS, 2 * _PAUSE_MS, 4 * _PAUSE_MS]
