"""The login throttle on a real Redis, without the hours that a hundred passwords take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.gateway.errors import RateLimited
from services.gateway.idempotency.redis import open_redis
from services.gateway.idempotency.throttle import ADDRESS_FAILURES_MAX, WINDOW_S, LoginThrottle


@pytest.fixture
async def throttle(servers: Stack) -> AsyncIterator[LoginThrottle]:
    async with open_redis(servers.env["REMIT_REDIS_URL"], timeout_s=2) as redis:
        yield LoginThrottle(redis)


async def test_an_address_that_fails_a_hundred_times_is_refused_whoever_it_names(throttle: LoginThrottle) -> None:
    address = uuid4().hex
    for _ in range(ADDRESS_FAILURES_MAX):
        await throttle.reserve(uuid4().hex, address)
    with pytest.raises(RateLimited) as caught:
        await throttle.reserve(uuid4().hex, address)
    headers = caught.value.headers
    assert 0 < int(headers["Retry-After"]) <= WINDOW_S
    assert headers["RateLimit"].startswith('"login-address";r=0;t=')
    await throttle.reserve(uuid4().hex, uuid4().hex)


async def test_a_login_that_succeeds_gives_its_place_back(throttle: LoginThrottle) -> None:
    email, address = uuid4().hex, uuid4().hex
    for _ in range(2 * ADDRESS_FAILURES_MAX):
        await throttle.forgive(await throttle.reserve(email, address), email, address)


async def test_strangers_who_fail_do_not_use_up_the_owners_tries(throttle: LoginThrottle) -> None:
    email, home = uuid4().hex, uuid4().hex
    await throttle.forgive(await throttle.reserve(email, home), email, home)
    for _ in range(10):
        await throttle.reserve(email, uuid4().hex)
    with pytest.raises(RateLimited):
        await throttle.reserve(email, uuid4().hex)
    for _ in range(10):
        await throttle.reserve(email, home)
    with pytest.raises(RateLimited):
        await throttle.reserve(email, home)
