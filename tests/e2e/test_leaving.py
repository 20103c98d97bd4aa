"""A gateway that is told to stop: unready at once, at work until a proxy has noticed, and gone in order."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import httpx
import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank
from tests.support.waiting import eventually
from tests.support.whole import bank_of

_GATEWAY = 8
# Within it the test sees that it is unready, and pays.
_LEAVE_S = 10


@pytest.fixture
def gateway(stack: Stack) -> Iterator[Bank]:
    """One with a proxy in front that looks rarely."""
    stack.start_service("gateway", _GATEWAY, {"REMIT_GATEWAY_LEAVE_S": str(_LEAVE_S)})
    bank = bank_of(stack, _GATEWAY)
    yield bank
    bank.close()
    stack.stop_service("gateway", n=_GATEWAY)


async def test_it_is_unready_at_once_and_pays_until_it_is_gone(stack: Stack, gateway: Bank) -> None:
    """Every call before the end is answered, and ends its connection; then nobody listens, and the process ends."""
    person = gateway.customer("Late")
    source, to = gateway.funded(person), person.open_account()
    stack.signal(f"gateway-{_GATEWAY}", signal.SIGTERM)

    async def is_unready() -> bool:
        ready = gateway.client.get("/readyz")
        return ready.status_code == 503 and [n for n, ok in ready.json()["checks"].items() if not ok] == ["staying"]

    async def is_gone() -> bool:
        try:
            answer = person.call("GET", f"/accounts/{source}")
        except httpx.ConnectError:
            return True
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        return False

    await eventually(is_unready)
    late = person.transfer(source, to, "0.01")
    assert (late.status_code, late.headers["Connection"]) == (201, "close")
    await eventually(is_gone, timeout_s=_LEAVE_S + 20)

    async def has_ended() -> bool:
        return stack.pid(f"gateway-{_GATEWAY}") is None

    await eventually(has_ended, timeout_s=30)
