"""Two gateways behind the proxy are one to a client: they share the limits and the idempotency keys."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.containers.deployment import Deployment
from tests.support.bank import Bank
from tests.support.metrics import Scrape

pytestmark = pytest.mark.timeout(180)

# The contract's: calls that create transfers, an address and minute.
_LIMIT = 10
_TRIES = 24


@pytest.fixture(scope="module")
async def gateways(deployment: Deployment) -> list[str]:
    """The containers of two gateways that are ready."""
    await deployment.scale({"gateway": 2})
    found = await deployment.containers("gateway")
    assert len(found) == 2
    return found


async def _scraped(deployment: Deployment, gateways: list[str]) -> list[Scrape]:
    return [await deployment.metrics(gateway) for gateway in gateways]


def _answered(before: Scrape, after: Scrape, route: str) -> float:
    name = "remit_http_answers_total"
    return after.sum(name, route=route, method="POST") - before.sum(name, route=route, method="POST")


async def test_two_gateways_let_ten_transfers_a_minute_through_together(
    deployment: Deployment, gateways: list[str], bank: Bank
) -> None:
    """Each would let ten through if it counted alone. (By hand, no transfer may have been made a minute before.)"""
    customer = bank.customer()
    source, to = bank.funded(customer), customer.open_account()
    before = await _scraped(deployment, gateways)
    statuses = Counter(customer.transfer(source, to).status_code for _ in range(_TRIES))
    after = await _scraped(deployment, gateways)
    assert statuses == {201: _LIMIT, 429: _TRIES - _LIMIT}
    shares = [_answered(*pair, "/api/v1/transfers") for pair in zip(before, after, strict=True)]
    assert sum(shares) == _TRIES
    assert min(shares) > 0, "one gateway had all calls: nothing was shown"
    assert customer.balance(source) == "90.00"


async def test_a_key_that_both_gateways_see_pays_once_and_is_answered_in_the_same_bytes(
    deployment: Deployment, gateways: list[str], bank: Bank
) -> None:
    """At the same moment and one after the other: one call pays, all others give its bytes, or 409 while it is open."""
    # A deposit, for no address limit counts the operator.
    account, key = bank.customer().open_account(), str(uuid4())
    before = await _scraped(deployment, gateways)

    def deposit(_: int) -> httpx.Response:
        return bank.deposit(account, "5.00", key=key)

    with ThreadPoolExecutor(max_workers=8) as pool:
        answers = list(pool.map(deposit, range(8)))
    answers += [deposit(n) for n in range(8)]
    after = await _scraped(deployment, gateways)
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert [answer.status_code for answer in answers[8:]] == [201] * 8
    paid = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in paid}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in paid) == 1
    assert all(_answered(*pair, "/api/v1/admin/deposits") > 0 for pair in zip(before, after, strict=True))
    found = bank.verified(account)
    assert (found["status"], found["account_balance"], found["entries"]) == ("verified", "5.00", 1)
