"""How long Redis keeps the answers of calls that have ended: a day, and less where it runs short of memory.

Nothing else goes to make room: what is pending stays until it has ended, for nobody else would end it. An answer that
is gone is made from the row again, in the same bytes; a Redis that is full refuses every call (decision 0030).
"""

from __future__ import annotations

import math

import structlog
from prometheus_client import Gauge

from services.gateway.background import repeatedly
from services.gateway.idempotency.redis import Redis

log = structlog.get_logger(__name__)

KEPT_MS = 24 * 3600 * 1000
# A client that repeats a lost call at once still meets the stored answer.
KEPT_LEAST_MS = 10_000
# Of Redis' memory: up to the first nothing is short, from the second on no answer is kept longer than the least.
_AMPLE, _SHORT = 0.5, 0.9
_EVERY_S = 1.0

KEPT = Gauge("remit_answers_kept_seconds", "How long the answer of a call that ends now is kept in Redis.")


def kept_ms(used: int, most: int) -> int:
    """How long, in milliseconds, where `used` of `most` bytes are in use; `most` is 0 where there is no bound.

    Each part of the way takes as large a share of what is left, so that a day becomes hours and minutes long before
    seconds are needed.
    """
    if most <= 0:
        return KEPT_MS
    way = min(max((used / most - _AMPLE) / (_SHORT - _AMPLE), 0.0), 1.0)
    return round(KEPT_MS * math.pow(KEPT_LEAST_MS / KEPT_MS, way))


class Retention:
    """Looks at Redis' memory once a second."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self.kept_ms = KEPT_MS
        self._is_short = False
        KEPT.set(KEPT_MS / 1000)

    async def run(self) -> None:
        """Until cancelled."""
        await repeatedly("retention", self.look, every_s=_EVERY_S)

    async def look(self) -> None:
        """Takes what the memory allows; a Redis that does not say how much it uses is taken to have enough."""
        memory = await self._redis.memory()
        self.kept_ms = KEPT_MS if memory is None else kept_ms(*memory)
        KEPT.set(self.kept_ms / 1000)
        if self._is_short != (is_short := self.kept_ms < KEPT_MS):
            self._is_short = is_short
            log.warning("answers_kept_briefly" if is_short else "answers_kept_a_day", kept_s=self.kept_ms // 1000)
