"""Opening an account under a key while a server or the worker is away."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
from redis.asyncio import Redis

from tests.integration.conftest import Whole
from tests.support.bank import Session
from tests.support.waiting import eventually

_BODY = {"name": "Main", "currency": "USD"}


def _open(session: Session, key: str, prefer: str = "wait=15") -> httpx.Response:
    return session.call("POST", "/accounts", key=key, json=_BODY, headers={"Prefer": prefer})


async def _leases(whole: Whole) -> int:
    redis = Redis.from_url(whole.stack.env["REMIT_REDIS_URL"])
    try:
        return len(await redis.keys("remit:lease:*"))
    finally:
        await redis.aclose()


async def test_a_second_call_is_told_that_the_first_is_open_and_only_while_it_is(whole: Whole) -> None:
    owner, key = whole.bank.customer(), str(uuid4())
    whole.stack.signal("transfer", signal.SIGSTOP)
    try:
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(_open, owner, key)

            async def is_held() -> bool:
                return await _leases(whole) > 0

            await eventually(is_held)
            second = _open(owner, key)
            assert (second.status_code, second.json()["code"]) == (409, "request_in_progress")
            assert second.headers["Retry-After"]
            assert _open(owner, str(uuid4()), "respond-async").json()["code"] == "outcome_unknown"
            whole.stack.signal("transfer", signal.SIGCONT)
            assert first.result().status_code == 201
    finally:
        whole.stack.signal("transfer", signal.SIGCONT)
    again = _open(owner, key)
    assert (again.status_code, again.content) == (201, first.result().content)
    assert await _leases(whole) == 0


async def test_a_call_that_was_not_answered_in_time_is_answered_by_its_key(whole: Whole) -> None:
    owner, key = whole.bank.customer(), str(uuid4())
    whole.stack.signal("transfer", signal.SIGSTOP)
    try:
        for _ in range(3):
            unknown = _open(owner, key, "respond-async")
            assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown")
    finally:
        whole.stack.signal("transfer", signal.SIGCONT)
    assert _open(owner, key).status_code == 201
    assert len(owner.get("/accounts")["items"]) == 1
