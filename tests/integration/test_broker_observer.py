"""The broker's user for KEDA, with the rights that `deploy/helm/examples/rabbitmq.yaml` gives him."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from ruamel.yaml import YAML

from deploy.local.stack import Stack
from remit.commands.definitions import administrator, broker_definitions
from shared.contracts import topology

_EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "examples" / "rabbitmq.yaml"
_NAME, _PASSWORD = "remit_scaling", "looks-and-touches-nothing"
_REFUSED = {400, 401, 403}


@pytest.fixture
async def chief(servers: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """The administrator, at the broker's HTTP API."""
    who = administrator(servers.env)
    url = servers.env["REMIT_AMQP_MANAGEMENT_URL"]
    async with httpx.AsyncClient(base_url=url, auth=(who.name, who.password), timeout=15) as http:
        yield http


@pytest.fixture
async def observer(servers: Stack, chief: httpx.AsyncClient) -> AsyncIterator[httpx.AsyncClient]:
    """The user of the example, at the same API."""
    given = {one["kind"]: one["spec"] for one in YAML(typ="safe").load_all(_EXAMPLE.read_text(encoding="utf-8"))}
    user, vhost = f"/api/users/{_NAME}", quote(administrator(servers.env).vhost, safe="")
    tags = ",".join(given["User"]["tags"])
    (await chief.put(user, json={"password": _PASSWORD, "tags": tags})).raise_for_status()
    permission = f"/api/permissions/{vhost}/{_NAME}"
    (await chief.put(permission, json=given["Permission"]["permissions"])).raise_for_status()
    async with httpx.AsyncClient(base_url=chief.base_url, auth=(_NAME, _PASSWORD), timeout=15) as http:
        yield http
    (await chief.delete(user)).raise_for_status()


def _queue(servers: Stack, name: str) -> str:
    return f"/api/queues/{quote(administrator(servers.env).vhost, safe='')}/{name}"


async def test_who_scales_by_the_queues_sees_how_long_they_are(servers: Stack, observer: httpx.AsyncClient) -> None:
    for queue in topology.QUEUES:
        answer = await observer.get(_queue(servers, queue.name))
        assert answer.status_code == 200
        assert answer.json()["type"] == "quorum"


async def test_who_scales_by_the_queues_touches_none_of_them(servers: Stack, observer: httpx.AsyncClient) -> None:
    place = _queue(servers, topology.QUEUES[0].name)
    take = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
    answers = [
        await observer.post(f"{place}/get", json=take),
        await observer.delete(f"{place}/contents"),
        await observer.delete(place),
        await observer.put(f"{place}-of-his-own", json={}),
        await observer.get("/api/definitions"),
    ]
    assert {answer.status_code for answer in answers} <= _REFUSED


async def test_a_migration_leaves_him_as_he_is(
    servers: Stack, chief: httpx.AsyncClient, observer: httpx.AsyncClient
) -> None:
    (await chief.post("/api/definitions", json=broker_definitions(servers.env))).raise_for_status()
    assert (await observer.get(_queue(servers, topology.QUEUES[0].name))).status_code == 200
