"""The routes that say how a process is."""

from __future__ import annotations

import httpx
import pytest

from shared.observability.health import health_app


@pytest.mark.parametrize(("is_up", "status", "retry_after"), [(True, 200, None), (False, 503, "1")])
async def test_who_is_not_ready_says_when_to_ask_again(is_up: bool, status: int, retry_after: str | None) -> None:
    async def check() -> bool:
        return is_up

    transport = httpx.ASGITransport(health_app({"database": check}))
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert answer.json() == {"status": "ready" if is_up else "not_ready", "checks": {"database": is_up}}
