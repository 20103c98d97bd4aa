"""Checkpoints outside the database: a Redis stream, out of reach of whoever edits the log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from shared.errors import Unavailable
from shared.redis_errors import REDIS_ERRORS

log = structlog.get_logger(__name__)

STREAM = "remit:audit:checkpoints"
# Ten weeks of minutes.
_ENTRIES_MAX = 100_000
_PAGE_ENTRIES = 2_000
_TIMEOUT_S = 2.0
_HASH_BYTES = 32


class StreamUnavailable(Unavailable):
    """The stream of checkpoints does not answer."""


class Sent(NamedTuple):
    """What a checkpoint said of its position."""

    hash: bytes
    recorded_at: datetime


class CheckpointStream:
    """A Redis stream of checkpoints: seq, hash in hex, recorded_at."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def add(self, seq: int, row_hash: bytes, recorded_at: datetime) -> None:
        """Tells of a checkpoint.

        Raises:
            StreamUnavailable: it was not taken, as far as one can tell.
        """
        fields: dict[Any, Any] = {"seq": seq, "hash": row_hash.hex(), "recorded_at": recorded_at.isoformat()}
        try:
            await self._redis.xadd(STREAM, fields, maxlen=_ENTRIES_MAX, approximate=True)
        except REDIS_ERRORS as error:
            raise StreamUnavailable(type(error).__name__) from error

    async def read(self) -> Mapping[int, Sent]:
        """All that was told and is still there, by position; where two tell of one position, the first.

        Raises:
            StreamUnavailable: nobody can tell.
        """
        found: dict[int, Sent] = {}
        after = "-"
        try:
            while page := await self._page(after):
                for _, fields in page:
                    _keep(found, fields)
                after = f"({page[-1][0].decode()}"
        except REDIS_ERRORS as error:
            raise StreamUnavailable(type(error).__name__) from error
        return found

    async def _page(self, after: str) -> Any:
        return await self._redis.xrange(STREAM, min=after, count=_PAGE_ENTRIES)


def _keep(found: dict[int, Sent], fields: Mapping[bytes, bytes]) -> None:
    try:
        row_hash = bytes.fromhex(fields[b"hash"].decode())
        seq, recorded_at = int(fields[b"seq"]), datetime.fromisoformat(fields[b"recorded_at"].decode())
    except (KeyError, ValueError):
        log.warning("checkpoint_not_readable")
        return
    if len(row_hash) == _HASH_BYTES and recorded_at.tzinfo is not None:
        found.setdefault(seq, Sent(row_hash, recorded_at))


@asynccontextmanager
async def open_stream(url: str) -> AsyncIterator[CheckpointStream]:
    """The stream at `url`. Connects when first used, and never sends a write twice by itself."""
    redis = Redis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_TIMEOUT_S,
        max_connections=2,
    )
    try:
        yield CheckpointStream(redis)
    finally:
        await redis.aclose()
