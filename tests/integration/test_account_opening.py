"""Opening an account under a key while a server or the worker is away."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
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
        for _ in range(2):
            unknown = _open(owner, key, "respond-async")
            assert (unknown.status_code, unknown.json()["code"]) == (503, "outcome_unknown")
    finally:
        whole.stack.signal("transfer", signal.SIGCONT)
    assert _open(owner, key).status_code == 201
    assert len(owner.get("/accounts")["items"]) == 1


@pytest.mark.parametrize("own_keys", [False, True])
async def test_what_an_operator_opened_is_answered_from_the_rows_once_its_record_is_gone(
    whole: Whole, own_keys: bool
) -> None:
    """As after 24 hours: the same bytes, marked, and nothing is paid in twice."""
    items = [
        {"owner_reference": uuid4().hex, "name": "Main", "currency": "USD", **opening}
        for opening in ({"opening_balance": "5.00"}, {})
    ]
    if own_keys:
        items = [{**item, "idempotency_key": str(uuid4())} for item in items]
    key = None if own_keys else str(uuid4())

    def call() -> httpx.Response:
        return whole.bank.admin.call("POST", "/admin/accounts/batch", key=key, json={"accounts": items})

    first = call()
    assert (first.status_code, "Idempotent-Replayed" in first.headers) == (200, False)
    async with Redis.from_url(whole.stack.env["REMIT_REDIS_URL"]) as redis:
        await redis.delete(*await redis.keys("remit:record:b:*"))
    again = call()
    assert (again.content, again.headers["Idempotent-Replayed"]) == (first.content, "true")
    items = [{**item, "name": "Other"} for item in items]
    other = call()
    assert [item["problem"]["code"] for item in other.json()["items"]] == ["idempotency_key_reused"] * 2
    assert "Idempotent-Replayed" not in other.headers
    account = first.json()["items"][0]["account"]["id"]
    assert whole.bank.admin.get(f"/accounts/{account}")["balance"] == "5.00"
