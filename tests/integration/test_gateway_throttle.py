"""The login throttle on a real Redis, without the hours that a hundred passwords take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.gateway.domain.requests import Login
from services.gateway.errors import RateLimited
from services.gateway.idempotency.redis import open_redis
from services.gateway.idempotency.throttle import ACCOUNT_FAILURES_MAX, ADDRESS_FAILURES_MAX, WINDOW_S, LoginThrottle
from services.gateway.identity.logins import Logins
from shared.contracts.base import Context
from shared.errors import TransientError

if TYPE_CHECKING:
    from services.gateway.identity.activity import Activities
    from services.gateway.identity.callers import Callers
    from services.gateway.identity.passwords import Passwords
    from services.gateway.identity.store import IdentityStore


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


class _From:
    """Whoever calls, from the address that a test names."""

    def __init__(self, address: str) -> None:
        self._address = address

    def context(self, request: Any) -> Context:
        return Context(request_id="r", ip=self._address)


class _Away:
    """A database that does not answer."""

    async def user_by_email(self, email: str) -> None:
        raise TransientError("away")


async def test_a_login_that_nobody_could_judge_is_no_failure(throttle: LoginThrottle) -> None:
    """Else who tries again while a server is away would be kept out for the quarter of an hour after."""
    email, address = f"{uuid4().hex}@example.com", "192.0.2.77"
    logins = Logins(
        cast("Callers", _From(address)), cast("IdentityStore", _Away()), cast("Passwords", None), throttle,
        cast("Activities", None),
    )  # fmt: skip
    for _ in range(ACCOUNT_FAILURES_MAX + 1):
        with pytest.raises(TransientError):
            await logins.user(cast("Any", None), Login(email=email, password="right"))
    for _ in range(ACCOUNT_FAILURES_MAX):
        await throttle.reserve(email, "198.51.100.77")
    # Nor is the address known to the account now.
    with pytest.raises(RateLimited):
        await throttle.reserve(email, address)
