"""Prometheus beside the containers: it finds them all, its rules hold, and an alarm comes when somebody is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.containers.deployment import SERVICES, Deployment, output_of
from tests.support.bank import Bank
from tests.support.sight import FOREIGN, rules
from tests.support.waiting import eventually

pytestmark = pytest.mark.timeout(300)

_OTHERS = {"rabbitmq", "haproxy", "prometheus"}


class Prometheus:
    """Its API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, path: str) -> Any:
        """The data of an answer that is well."""
        answer = await self._client.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def firing(self) -> set[str]:
        """The alerts that fire."""
        return {one["labels"]["alertname"] for one in (await self.ask("alerts"))["alerts"] if one["state"] == "firing"}


@pytest.fixture(scope="module")
async def prometheus(deployment: Deployment) -> AsyncIterator[Prometheus]:
    if not await deployment.containers("prometheus"):
        pytest.skip("the deployment was started without the profile `sight`")
    address = await deployment.address("prometheus", 9090)
    async with httpx.AsyncClient(base_url=f"http://{address}", timeout=10) as client:
        yield Prometheus(client)


async def test_every_instance_of_every_service_is_scraped(deployment: Deployment, prometheus: Prometheus) -> None:
    """As many as there are: other tests have scaled gateways, too."""
    await deployment.scale({"transfer": 2})
    running = [service for service in SERVICES for _ in await deployment.containers(service)]
    assert Counter(running)["transfer"] == 2

    async def targets() -> list[tuple[str, str]]:
        found = (await prometheus.ask("targets"))["activeTargets"]
        return sorted((one["labels"]["job"], one["health"]) for one in found)

    async def are_up() -> bool:
        return await targets() == sorted((job, "up") for job in (*running, *_OTHERS))

    try:
        await eventually(are_up, timeout_s=60)
    except AssertionError:
        pytest.fail(f"of {sorted(running)} and {sorted(_OTHERS)} these are scraped: {await targets()}")
    await deployment.scale({"transfer": 1})


async def test_what_rules_and_dashboards_ask_of_others_exists(prometheus: Prometheus) -> None:
    async def are_there() -> bool:
        return set(await prometheus.ask("label/__name__/values")) >= FOREIGN

    await eventually(are_there, timeout_s=60)


async def test_every_rule_is_evaluated_and_none_fires_while_all_is_well(prometheus: Prometheus, bank: Bank) -> None:
    customer = bank.customer()
    bank.funded(customer)

    async def evaluated() -> bool:
        groups = (await prometheus.ask("rules"))["groups"]
        found = [rule for group in groups for rule in group["rules"]]
        return len(found) == len(rules()) and {rule["health"] for rule in found} == {"ok"}

    async def is_quiet() -> bool:
        return not await prometheus.firing()

    await eventually(evaluated, timeout_s=60)
    # What earlier tests took away may still be told for a while.
    await eventually(is_quiet, timeout_s=120)


async def test_a_worker_that_is_missing_alarms_until_it_is_back(deployment: Deployment, prometheus: Prometheus) -> None:
    (ledger,) = await deployment.containers("ledger")

    async def is_told() -> bool:
        return "RemitWorkerMissing" in await prometheus.firing()

    async def is_over() -> bool:
        return not await is_told()

    await output_of("docker", "stop", ledger)
    try:
        await eventually(is_told, timeout_s=120)
    finally:
        await output_of("docker", "start", ledger)
    await deployment.healthy(ledger)
    await eventually(is_over, timeout_s=60)
