"""What a Redis client says when its server is gone."""

from __future__ import annotations

from redis.exceptions import RedisError

REDIS_ERRORS: tuple[type[Exception], ...] = (
    RedisError,
    OSError,
    TimeoutError,
    # The event loop's word for a connection that was closed since it was last looked at.
    RuntimeError,
)
