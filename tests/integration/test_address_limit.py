"""What Redis keeps of an address: its calls of one minute, and after that nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from tests.integration.conftest import Whole
from tests.support.bank import Session
from tests.support.whole import bank_of

_LIMIT, _WINDOW_MS = 10, 60_000


@pytest.fixture
def limited(whole: Whole) -> Iterator[Session]:
    """A customer at a gateway with the limit on."""
    whole.stack.start_service("gateway", 2, {"REMIT_GATEWAY_IP_RATE_LIMIT": str(_LIMIT)})
    bank = bank_of(whole.stack, 2)
    yield bank.customer()
    bank.close()
    whole.stack.stop_service("gateway", n=2)


async def test_calls_of_an_address_are_kept_for_a_minute(whole: Whole, limited: Session) -> None:
    account = whole.bank.funded(limited, "100.00")
    to = limited.open_account()
    async with Redis.from_url(whole.stack.env["REMIT_REDIS_URL"]) as redis:
        assert await redis.keys("remit:ip:*") == []
        for _ in range(_LIMIT):
            assert limited.transfer(account, to).status_code == 201
        [key] = await redis.keys("remit:ip:*")
        assert 0 < await redis.pttl(key) <= _WINDOW_MS
        refused = limited.transfer(account, to)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= _WINDOW_MS // 1000
        assert 0 < await redis.pttl(key) <= _WINDOW_MS, "a refused call does not lengthen it"
        await redis.delete(key)
    assert limited.balance(to) == f"{_LIMIT}.00"
