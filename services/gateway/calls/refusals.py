"""Calls refused because their address has had enough: 429, and two audit rows an address and clock minute."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import structlog

from services.gateway.background import passes, repeatedly
from services.gateway.errors import RateLimited
from services.gateway.idempotency.claims import Limited, Met
from services.gateway.idempotency.redis import Redis
from services.gateway.identity.activity import BLOCKED, Activities, activity
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.ids import derive
from shared.messaging.batching import Batcher

log = structlog.get_logger(__name__)

_CODE = "ip_rate_limited"
_EVERY_S = 10.0
_TOGETHER_MAX = 200
_KEPT_MS = 3_600_000


class Refusals:
    """Answers and records what the address limit refuses."""

    def __init__(self, redis: Redis, activities: Activities, *, limit: int | None, window_s: int) -> None:
        self._redis = redis
        self._activities = activities
        self._limit = limit or 0
        self._window_s = window_s
        self._counting: Batcher[str, bool] = Batcher(self._count, items_max=_TOGETHER_MAX)

    async def check(self, met: Met, address: str, context: Context) -> None:
        """Lets through what the limit let through; `address` is what it counts.

        Raises:
            RateLimited: this address has had its calls (draft-ietf-httpapi-ratelimit-headers).
        """
        if not isinstance(met, Limited):
            return
        await self._record(address, context)
        wait_s = max(1, math.ceil(met.wait_ms / 1000))
        raise RateLimited(
            f"This address may ask for {self._limit} transfers in any {self._window_s} seconds.",
            headers={
                "Retry-After": str(wait_s),
                "RateLimit-Policy": f'"ip";q={self._limit};w={self._window_s}',
                "RateLimit": f'"ip";r=0;t={wait_s}',
            },
        )

    async def drain(self) -> None:
        """Returns when nothing is in flight."""
        await self._counting.drain()

    async def _record(self, address: str, context: Context) -> None:
        """Counts it, and tells the audit of its address' first in this minute; where neither can be, it is refused."""
        try:
            if await self._counting.submit(address):
                await self._activities.tell(_first(context))
        except Exception as error:
            if not passes(error):
                raise
            log.warning("refusal_not_recorded", error=repr(error))

    async def _count(self, addresses: Sequence[str]) -> list[bool]:
        return [is_first == 1 for is_first in await self._redis.run("refuse", [_KEPT_MS, *addresses])]

    async def run(self) -> None:
        """Records the counts of minutes that are over, until cancelled."""
        await repeatedly("refusals", self._record_counts, every_s=_EVERY_S)

    async def _record_counts(self) -> None:
        counted = await self._redis.run("refusals", [_TOGETHER_MAX])
        while counted:
            done = []
            for member, times in counted:
                minute, _, address = member.decode().partition(":")
                await self._activities.tell(_counted(int(minute), address, int(times)))
                done.append(member)
            counted = await self._redis.run("refusals", [_TOGETHER_MAX, *done])


def _first(context: Context) -> ActivityRecorded:
    return activity("FRAUD_CHECK", "transaction", None, context, status=BLOCKED, details={"code": _CODE}, error=_CODE)


def _counted(minute: int, address: str, times: int) -> ActivityRecorded:
    # Derived: every gateway that tells of this minute tells the same event.
    return activity(
        "FRAUD_CHECK",
        "transaction",
        None,
        Context(request_id=f"minute-{minute}", ip=address),
        status=BLOCKED,
        details={"code": _CODE, "refused": times, "minute": datetime.fromtimestamp(minute * 60, UTC)},
        error=_CODE,
        activity_id=derive("ip-refusals", address, minute),
    )
