"""Leases: one open call a key, where PostgreSQL decides what the key means and Redis only stops the second call."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from services.gateway.errors import RequestInProgress
from services.gateway.idempotency.metrics import TAKEOVERS
from services.gateway.idempotency.redis import Redis
from shared.errors import TransientError
from shared.ids import random_id

log = structlog.get_logger(__name__)

_RETRY_AFTER_MAX_S = 5


class Leases:
    """Held under a token of the call, for as long as it may take at most; those of a gateway that died count for
    nothing."""

    def __init__(self, redis: Redis, instance: str) -> None:
        self._redis = redis
        self._instance = instance

    @asynccontextmanager
    async def held(self, name: str, *, lease_s: float) -> AsyncIterator[None]:
        """Holds the lease while the block runs. Where Redis cannot tell, the block runs all the same.

        Raises:
            RequestInProgress: another call holds it.
        """
        token = random_id().hex
        left_ms = await self._hold(name, token, lease_s)
        if left_ms < 0:
            TAKEOVERS.inc()
        if left_ms > 0:
            wait_s = min(max(1, math.ceil(left_ms / 1000)), _RETRY_AFTER_MAX_S)
            raise RequestInProgress(headers={"Retry-After": str(wait_s)})
        try:
            yield
        finally:
            # Else it runs out by itself.
            with suppress(TransientError):
                await self._redis.run("drop", [name, self._instance, token])

    async def _hold(self, name: str, token: str, lease_s: float) -> int:
        try:
            return int(await self._redis.run("hold", [name, self._instance, token, int(lease_s * 1000)]))
        except TransientError as error:
            log.warning("lease_not_asked", error=repr(error))
            return 0
