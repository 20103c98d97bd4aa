"""How long answers of ended calls are kept: a day, and less where Redis is short of memory."""

from __future__ import annotations

from typing import Any, cast

import pytest

from services.gateway.idempotency.redis import RedisUnknown
from services.gateway.idempotency.retention import KEPT, KEPT_LEAST_MS, KEPT_MS, Retention, kept_ms

_GB = 10**9


@pytest.mark.parametrize("used", [0, 1, _GB // 2])
def test_up_to_half_of_the_memory_they_are_kept_a_day(used: int) -> None:
    assert kept_ms(used, _GB) == 86_400_000


def test_where_there_is_no_bound_too() -> None:
    assert kept_ms(100 * _GB, 0) == KEPT_MS


def test_beyond_half_they_are_kept_for_less_and_less_down_to_seconds() -> None:
    kept = [kept_ms(_GB * percent // 100, _GB) for percent in range(50, 101)]
    assert kept == sorted(kept, reverse=True)
    assert kept[50] == kept[40] == KEPT_LEAST_MS
    assert (round(kept[10] / 3.6e6, 1), round(kept[20] / 60e3), round(kept[30] / 1e3)) == (2.5, 15, 96)


class _Memory:
    """A Redis of 100 bytes."""

    def __init__(self, used: int | None) -> None:
        self.used = used
        self.is_away = False

    async def memory(self) -> tuple[int, int] | None:
        if self.is_away:
            raise RedisUnknown("no answer")
        return None if self.used is None else (self.used, 100)


async def test_it_follows_the_memory_and_stays_as_it_is_while_redis_is_away() -> None:
    redis = _Memory(95)
    retention = Retention(cast("Any", redis))
    assert retention.kept_ms == KEPT_MS
    await retention.look()
    assert (retention.kept_ms, KEPT._value.get()) == (KEPT_LEAST_MS, KEPT_LEAST_MS / 1000)
    redis.is_away = True
    with pytest.raises(RedisUnknown):
        await retention.look()
    assert retention.kept_ms == KEPT_LEAST_MS
    redis.is_away, redis.used = False, 10
    await retention.look()
    assert retention.kept_ms == KEPT_MS


async def test_where_it_may_not_be_asked_there_is_taken_to_be_enough() -> None:
    retention = Retention(cast("Any", _Memory(None)))
    await retention.look()
    assert retention.kept_ms == KEPT_MS
