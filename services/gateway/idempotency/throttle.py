"""The login throttle: failures an account and an address, in sliding windows, reserved before the password is tried."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress

from services.gateway.errors import RateLimited
from services.gateway.idempotency.redis import Argument, Redis
from shared.errors import TransientError
from shared.ids import random_id

ACCOUNT_FAILURES_MAX = 10
ADDRESS_FAILURES_MAX = 100
WINDOW_S = 15 * 60
_KNOWN_FOR_S = 30 * 24 * 3600


class LoginThrottle:
    """Counts tries that fail. An address from which the account's owner has logged in before has a count of its own,
    so that a stranger who fails on purpose does not lock him out."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def reserve(self, email: str, address: str) -> str:
        """Room for one more failure; give it back with `forgive` or `take_back` if there was none.

        Raises:
            RateLimited: no room.
            RedisUnavailable, RedisUnknown: nobody can tell, so nobody logs in.
        """
        name = random_id().hex
        account, stranger, known = _keys(email, address)
        arguments: list[Argument] = [WINDOW_S * 1000, name, known, account, stranger, ACCOUNT_FAILURES_MAX]
        if address:
            arguments += [f"address:{address}", ADDRESS_FAILURES_MAX]
        wait_ms, window = await self._redis.run("throttle", arguments)
        if wait_ms:
            raise _refused(max(1, math.ceil(wait_ms / 1000)), int(window))
        return name

    async def forgive(self, name: str, email: str, address: str) -> None:
        """The login succeeded: from now on its address is known to the account."""
        await self._give_back(name, email, address, known_for_ms=_KNOWN_FOR_S * 1000)

    async def take_back(self, name: str, email: str, address: str) -> None:
        """The try came to nothing. If Redis cannot be told, it counts."""
        with suppress(TransientError):
            await self._give_back(name, email, address, known_for_ms=0)

    async def _give_back(self, name: str, email: str, address: str, *, known_for_ms: int) -> None:
        account, stranger, known = _keys(email, address)
        await self._redis.run("forgive", [name, known, known_for_ms, account, stranger, f"address:{address}"])


def _refused(wait_s: int, window: int) -> RateLimited:
    """draft-ietf-httpapi-ratelimit-headers: both policies, and the one that is exhausted."""
    policies = ("login-account", ACCOUNT_FAILURES_MAX), ("login-address", ADDRESS_FAILURES_MAX)
    return RateLimited(
        "Too many logins have failed.",
        headers={
            "Retry-After": str(wait_s),
            "RateLimit-Policy": ", ".join(f'"{name}";q={quota};w={WINDOW_S}' for name, quota in policies),
            "RateLimit": f'"{policies[window][0]}";r=0;t={wait_s}',
        },
    )


def _keys(email: str, address: str) -> tuple[str, str, str]:
    """The window of the account from this address if it is known there, else from strangers; and what tells."""
    who = hashlib.sha256(email.encode()).hexdigest()[:32]
    return f"known:{who}:{address}", f"strangers:{who}", f"knows:{who}:{address}"
