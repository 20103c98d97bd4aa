"""Checkpoints: each minute the end of the chain is written down where an editor of the database does not reach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from services.audit.metrics import CHECKPOINT, CHECKPOINTS_LOST
from services.audit.store import Checkpoint, Store

log = structlog.get_logger(__name__)

STREAM = "remit:audit:checkpoints"
# Ten weeks of minutes.
_STREAM_ENTRIES_MAX = 100_000
_REDIS_TIMEOUT_S = 2.0


class Stream:
    """A Redis stream of checkpoints: seq, hash in hex, recorded_at."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, checkpoint: Checkpoint) -> bool:
        """Whether the stream took it; trouble is counted and logged, and never stops the audit."""
        fields: dict[Any, Any] = {
            "seq": checkpoint.seq,
            "hash": checkpoint.hash.hex(),
            "recorded_at": checkpoint.recorded_at.isoformat(),
        }
        try:
            await self._redis.xadd(STREAM, fields, maxlen=_STREAM_ENTRIES_MAX, approximate=True)
        except (RedisError, OSError, TimeoutError) as error:
            CHECKPOINTS_LOST.inc()
            log.warning("checkpoint_not_sent", seq=checkpoint.seq, error=type(error).__name__)
            return False
        return True


@asynccontextmanager
async def open_stream(url: str | None) -> AsyncIterator[Stream | None]:
    """The stream at `url`, or none. Connects when first used, and never sends a write twice by itself."""
    if url is None:
        yield None
        return
    redis = Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=_REDIS_TIMEOUT_S,
        socket_connect_timeout=_REDIS_TIMEOUT_S,
        max_connections=1,
    )
    try:
        yield Stream(redis)
    finally:
        await redis.aclose()


class Checkpoints:
    """Makes a checkpoint every `every_s` while the chain grows, and tells the log and the stream."""

    def __init__(self, store: Store, stream: Stream | None, *, every_s: float) -> None:
        self._store = store
        self._stream = stream
        self._every_s = every_s
        self._announced_seq = 0

    async def run(self) -> None:
        """Until cancelled; while the database is away there is nothing to note."""
        while True:
            try:
                await self.once()
            except Exception as error:  # noqa: BLE001 - a missing checkpoint must not end the audit
                log.warning("checkpoint_postponed", error=repr(error))
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """One checkpoint; one that the stream did not take is announced again."""
        found = await self._store.checkpoint()
        if found is None:
            return
        checkpoint, tip_seq = found
        if tip_seq < checkpoint.seq:
            log.error("audit_log_cut", checkpoint_seq=checkpoint.seq, tip_seq=tip_seq)
        if checkpoint.seq <= self._announced_seq:
            return
        log.info("checkpoint", seq=checkpoint.seq, hash=checkpoint.hash.hex(), at=checkpoint.recorded_at.isoformat())
        if self._stream is None or await self._stream.add(checkpoint):
            self._announced_seq = checkpoint.seq
            CHECKPOINT.set(checkpoint.seq)
