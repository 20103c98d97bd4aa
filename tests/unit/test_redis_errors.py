"""A Redis that went away is unavailable or unknown, whatever the client calls it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from services.gateway.idempotency.redis import RedisUnavailable, RedisUnknown, open_redis
from shared.audit_chain.stream import StreamUnavailable, open_stream

_URL = "redis://127.0.0.1:1/0"
_LOST = RuntimeError("unable to perform operation on <TCPTransport closed=True>; the handler is closed")


async def _lost(*_: Any, **__: Any) -> None:
    raise _LOST


async def test_a_script_that_was_sent_into_a_closed_connection_may_have_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed Redis and a busy gateway: the loop says so in words of its own, and the process goes on."""
    connection = SimpleNamespace(send_command=_lost, disconnect=lambda nowait: _nothing())
    async with open_redis(_URL, timeout_s=1) as redis:
        monkeypatch.setattr(redis._pool, "get_connection", lambda: _given(connection))
        monkeypatch.setattr(redis._pool, "release", lambda _: _nothing())
        with pytest.raises(RedisUnknown):
            await redis.run("beat", ["instance"])


async def test_a_connection_that_could_not_be_looked_at_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_redis(_URL, timeout_s=1) as redis:
        monkeypatch.setattr(redis._pool, "get_connection", _lost)
        with pytest.raises(RedisUnavailable):
            await redis.run("beat", ["instance"])


async def test_a_checkpoint_waits_for_the_next_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_stream(_URL) as stream:
        monkeypatch.setattr(stream._redis, "xadd", _lost)
        with pytest.raises(StreamUnavailable):
            await stream.add(1, b"\0" * 32, datetime.now(UTC))


async def _given(value: Any) -> Any:
    return value


async def _nothing() -> None:
    return None
