"""Checkpoints outside the database: what is told is read again, and what is not a checkpoint is passed over."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisGone

from shared.audit_chain.stream import STREAM, CheckpointStream, Sent, StreamUnavailable
from tests.support.builders import NOON

_HASH, _OTHER = b"\x01" * 32, b"\x02" * 32
_TOLD = {"seq": 7, "hash": _HASH.hex(), "recorded_at": "2026-01-15T12:00:00+00:00"}


class MemoryRedis:
    """One stream; `gone` as where the server does not answer."""

    def __init__(self, *, gone: bool = False) -> None:
        self.entries: list[tuple[bytes, dict[bytes, bytes]]] = []
        self.bounds: list[tuple[int, bool]] = []
        self.pages = 0
        self._gone = gone

    async def xadd(self, name: str, fields: dict[str, Any], *, maxlen: int, approximate: bool) -> None:
        if self._gone:
            raise RedisGone
        assert name == STREAM
        self.bounds.append((maxlen, approximate))
        entry = {key.encode(): str(value).encode() for key, value in fields.items()}
        self.entries.append((b"%d-0" % (len(self.entries) + 1), entry))

    async def xrange(self, name: str, *, min: str, count: int) -> list[tuple[bytes, dict[bytes, bytes]]]:  # noqa: A002
        if self._gone:
            raise RedisGone
        assert name == STREAM
        self.pages += 1
        begin = 0 if min == "-" else int(min.removeprefix("(").split("-")[0])
        return self.entries[begin : begin + count]


def stream(redis: MemoryRedis) -> CheckpointStream:
    return CheckpointStream(cast("Redis", redis))


async def test_what_is_told_is_read_by_its_position() -> None:
    redis = MemoryRedis()
    await stream(redis).add(7, _HASH, NOON)
    await stream(redis).add(9, _OTHER, NOON.replace(minute=1))
    assert await stream(redis).read() == {7: Sent(_HASH, NOON), 9: Sent(_OTHER, NOON.replace(minute=1))}
    assert STREAM == "remit:audit:checkpoints", "what was told under another name would not be found"
    # Ten weeks of minutes, cut where it costs Redis nothing.
    assert redis.bounds == [(100_000, True)] * 2


async def test_the_first_that_tells_of_a_position_is_believed() -> None:
    redis = MemoryRedis()
    for row_hash in (_HASH, _OTHER):
        await stream(redis).add(7, row_hash, NOON)
    assert await stream(redis).read() == {7: Sent(_HASH, NOON)}


@pytest.mark.parametrize(
    "changes",
    [
        {"hash": "no hex"},
        {"hash": "01" * 31},
        {"hash": "01" * 33},
        {"seq": "seven"},
        {"recorded_at": "yesterday"},
        {"recorded_at": "2026-01-15T12:00:00"},
        {"seq": None},
        {"hash": None},
        {"recorded_at": None},
    ],
)
async def test_what_is_no_checkpoint_is_passed_over_and_the_next_one_is_read(changes: dict[str, str | None]) -> None:
    redis = MemoryRedis()
    fields = {name: value for name, value in {**_TOLD, **changes}.items() if value is not None}
    await redis.xadd(STREAM, fields, maxlen=1, approximate=True)
    await stream(redis).add(9, _OTHER, NOON)
    assert await stream(redis).read() == {9: Sent(_OTHER, NOON)}


async def test_more_than_a_page_is_read_whole() -> None:
    redis = MemoryRedis()
    for seq in range(1, 4_002):
        await redis.xadd(STREAM, {**_TOLD, "seq": seq}, maxlen=1, approximate=True)
    assert sorted(await stream(redis).read()) == list(range(1, 4_002))
    assert redis.pages == 4, "three with entries, and the end"


async def test_a_server_that_does_not_answer_is_said_to_be_unavailable() -> None:
    """Never an empty stream: that would vouch for a log that was cut."""
    away = stream(MemoryRedis(gone=True))
    with pytest.raises(StreamUnavailable, match=r"^ConnectionError$"):
        await away.add(7, _HASH, NOON)
    with pytest.raises(StreamUnavailable, match=r"^ConnectionError$"):
        await away.read()
