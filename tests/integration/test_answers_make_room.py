"""A Redis that runs short of memory keeps answers for less long; afterwards they are the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest
import redis

from tests.integration.conftest import Whole
from tests.support.metrics import scrape
from tests.support.waiting import until

_DAY_S = 86_400
_LEAST_S = 10


@pytest.fixture
def memory(whole: Whole) -> Iterator[redis.Redis]:
    """The server, whose bound a test may change."""
    with closing(redis.Redis.from_url(whole.stack.env["REMIT_REDIS_URL"], decode_responses=True)) as server:
        before = str(server.config_get("maxmemory")["maxmemory"])
        yield server
        server.config_set("maxmemory", before)


def test_where_memory_is_short_an_answer_is_kept_for_seconds_and_is_the_same_when_it_is_gone(
    whole: Whole, memory: redis.Redis
) -> None:
    alice = whole.bank.customer("Alice")
    source, to = whole.bank.funded(alice), alice.open_account()

    def are_kept(seconds: float) -> None:
        url = whole.stack.service_url("gateway")
        until(lambda: scrape(url).sum("remit_answers_kept_seconds"), lambda kept: kept == seconds)

    def left_s(answer: dict[str, str]) -> float:
        return float(memory.pttl(f"remit:record:t:{answer['id']}")) / 1000

    are_kept(_DAY_S)
    assert _DAY_S - 60 < left_s(alice.transfer(source, to, "1.00").json()) <= _DAY_S
    # Nine tenths of it are in use, and calls go on.
    memory.config_set("maxmemory", int(memory.info("memory")["used_memory"] * 1.1))
    are_kept(_LEAST_S)
    key = str(uuid4())
    answer = alice.transfer(source, to, "2.00", key=key)
    assert answer.status_code == 201, answer.text
    assert 0 < left_s(answer.json()) <= _LEAST_S
    memory.delete(f"remit:record:t:{answer.json()['id']}")
    again = alice.transfer(source, to, "2.00", key=key)
    assert (again.content, again.headers["Idempotent-Replayed"]) == (answer.content, "true")
    assert alice.balance(to) == "3.00"
