"""The AsyncAPI document beside the broker: all that stands there is written, and all that is written stands there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import httpx
import pytest
import yaml

from deploy.local.stack import Stack
from shared.contracts import paper, topology
from shared.contracts.envelope import MESSAGES
from shared.messaging.connection import Link
from shared.messaging.publisher import Emission, Publisher
from shared.settings import as_role, role_of
from tests.support.broker import BrokerProbe
from tests.support.builders import requested, settled

Node = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Node:
    loaded: Node = yaml.safe_load(paper.FILE.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def stands(servers: Stack) -> Node:
    """What the broker itself says that it has."""
    url = f"{servers.env['REMIT_AMQP_MANAGEMENT_URL']}/api/definitions"
    found: Node = httpx.get(url, trust_env=False, timeout=10).raise_for_status().json()
    return found


def _channels(document: Node, kind: str) -> dict[str, Node]:
    """The channels that are queues, or exchanges with a routing key; not the queue that a gateway makes for itself."""
    return {
        name: channel
        for name, channel in document["channels"].items()
        if channel["bindings"]["amqp"]["is"] == kind and not channel["address"].startswith("gateway.replies.")
    }


def test_every_queue_and_its_arguments(document: Node, stands: Node) -> None:
    written = {}
    for channel in _channels(document, "queue").values():
        queue = channel["bindings"]["amqp"]["queue"]
        written[queue["name"]] = (queue["durable"], queue["autoDelete"], channel["x-arguments"])
    there = {q["name"]: (q["durable"], q["auto_delete"], q["arguments"]) for q in stands["queues"]}
    assert written == {name: queue for name, queue in there.items() if not name.startswith("gateway.replies.")}


def test_every_exchange(document: Node, stands: Node) -> None:
    """That of the dead letters nobody sends to but the broker itself: it stands at the queues."""
    written = {
        exchange["name"]: (exchange["type"], exchange["durable"], exchange["autoDelete"])
        for exchange in (
            channel["bindings"]["amqp"]["exchange"] for channel in _channels(document, "routingKey").values()
        )
    }
    there = {e["name"]: (e["type"], e["durable"], e["auto_delete"]) for e in stands["exchanges"]}
    del there[topology.DEAD_LETTER_EXCHANGE]
    assert written == there


def test_every_binding(document: Node, stands: Node) -> None:
    written = {
        (binding["exchange"], channel["address"], binding["routingKey"])
        for channel in _channels(document, "queue").values()
        for binding in channel["x-bindings"]
    }
    there = {(b["source"], b["destination"], b["routing_key"]) for b in stands["bindings"]}
    assert written == {binding for binding in there if not binding[1].startswith("gateway.replies.")}


def test_every_message_is_written_and_each_comes_by_a_binding(document: Node) -> None:
    """A queue holds exactly what is bound to it, by the keys under which it is sent."""
    assert {message["name"] for message in document["components"]["messages"].values()} == set(MESSAGES)
    sent = {
        (channel["bindings"]["amqp"]["exchange"]["name"], channel["address"].replace("{recipient}", service)): names
        for channel in _channels(document, "routingKey").values()
        for service in topology.CONSUMERS
        if (names := set(channel["messages"]))
    }
    for channel in _channels(document, "queue").values():
        bound = [(binding["exchange"], binding["routingKey"]) for binding in channel["x-bindings"]]
        if topology.DEAD_LETTER_EXCHANGE not in {exchange for exchange, _ in bound}:
            assert set(channel["messages"]) == set().union(*(sent[key] for key in bound)), channel["address"]


def _operated(document: Node, service: str, action: str) -> set[str]:
    """The exchanges that a service sends to by the document, or the queues that it receives from."""
    found = set()
    for name, operation in document["operations"].items():
        if operation["action"] == action and name.startswith(f"{service}_"):
            channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
            amqp = channel["bindings"]["amqp"]
            found.add(amqp["exchange"]["name"] if action == "send" else amqp["queue"]["name"])
    return found


@pytest.mark.parametrize("service", topology.PUBLISHED)
def test_each_service_does_what_is_written_and_may_do_nothing_else(document: Node, stands: Node, service: str) -> None:
    [may] = [one for one in stands["permissions"] if one["user"] == role_of(service)]
    exchanges, queues = ([thing["name"] for thing in stands[kind]] for kind in ("exchanges", "queues"))
    queues = [*queues, "gateway.replies.{instance}"]
    assert _operated(document, service, "send") == {name for name in exchanges if re.search(may["write"], name)}
    assert _operated(document, service, "receive") == {name for name in queues if re.search(may["read"], name)}


@asynccontextmanager
async def _publisher(servers: Stack, service: str) -> AsyncIterator[Publisher]:
    url = as_role(servers.env["REMIT_AMQP_URL"], role_of(service))
    async with Link(url, name="tests").opened() as link:
        yield Publisher(link, timeout_s=5)


def _said(document: Node, name: str) -> tuple[str, str, int]:
    """Content type, type and delivery mode of what an operation sends."""
    operation = document["operations"][name]
    channel = document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]
    message = document["components"]["messages"][next(iter(channel["messages"]))]
    binding = message["bindings"]["amqp"]
    return message["contentType"], binding["messageType"], operation["bindings"]["amqp"]["deliveryMode"]


async def _taken(servers: Stack, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
    connection = await aio_pika.connect(servers.env["REMIT_AMQP_URL"], timeout=5)
    async with connection, connection.channel() as channel:
        return await (await channel.get_queue(queue)).get(no_ack=True, timeout=5)


async def test_what_is_sent_bears_the_properties_that_are_written(
    servers: Stack, broker: BrokerProbe, document: Node
) -> None:
    async with _publisher(servers, "gateway") as publisher:
        await publisher.publish([requested()])
    message = await _taken(servers, "fraud.requested")
    mode = message.delivery_mode
    assert (message.content_type, message.type, mode) == _said(document, "gateway_sends_transfer_requested")
    written: Mapping[str, Any] = document["components"]["messages"]["transfer_requested"]["payload"]
    body = yaml.safe_load(message.body)
    assert set(body) == set(written["required"])
    assert (body["type"], body["version"]) == (
        written["properties"]["type"]["const"],
        written["properties"]["version"]["const"],
    )


async def test_a_reply_is_transient(servers: Stack, broker: BrokerProbe, document: Node) -> None:
    heard = await broker.replies_to("paper")
    async with _publisher(servers, "transfer") as publisher:
        await publisher.emit(Emission(replies=[("paper", settled())]))
        message = await heard.message()
    assert message.delivery_mode == document["operations"]["transfer_replies"]["bindings"]["amqp"]["deliveryMode"]
