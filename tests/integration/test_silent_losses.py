"""A connection to the broker is lost, and none of its channels is told: what hung on it starts anew all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import aio_pika
import pytest

from deploy.local.stack import Stack
from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.gateway import TransferRequested
from shared.messaging.connection import BrokerUnavailable, Link
from shared.messaging.publisher import Emission, Publisher
from shared.messaging.replies import ReplyQueue
from tests.support.builders import requested, settled
from tests.support.waiting import eventually


@pytest.fixture
async def links(servers: Stack) -> AsyncIterator[tuple[Link, Link]]:
    """One that publishes, as transfer, and one that takes replies, as a gateway."""
    opened = [
        Link(servers.service_settings(service)[f"REMIT_{service.upper()}_AMQP_URL"], name="tests")
        for service in ("transfer", "gateway")
    ]
    running = [asyncio.create_task(link.run()) for link in opened]
    for link in opened:
        await link.wait_up()
    yield opened[0], opened[1]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_no_channel_of_a_lost_connection_is_published_on(links: tuple[Link, Link]) -> None:
    """What is published there without a confirm would fail for nobody to see."""
    publisher = Publisher(links[0], timeout_s=10.0)
    first = await publisher._channel(confirms=False)
    links[0].loss.set()

    async def another() -> bool:
        try:
            return await publisher._channel(confirms=False) is not first
        except BrokerUnavailable:
            return False

    await eventually(another, timeout_s=60)


async def test_replies_come_in_on_the_next_connection(links: tuple[Link, Link]) -> None:
    publishing, taking = links
    came: list[Message] = []
    instance = uuid4().hex
    replies = ReplyQueue(taking, instance, came.extend)
    listening = asyncio.create_task(replies.run())

    async def bound() -> bool:
        return replies.is_bound

    await eventually(bound)
    first = replies._channel
    taking.loss.set()

    async def bound_anew() -> bool:
        return replies.is_bound and replies._channel is not first

    await eventually(bound_anew)
    publisher = Publisher(publishing, timeout_s=10.0)

    async def arrived() -> bool:
        await publisher.emit(Emission(replies=[(instance, settled())]))
        return bool(came)

    await eventually(arrived, timeout_s=60)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_what_no_queue_takes_is_not_confirmed(servers: Stack, links: tuple[Link, Link]) -> None:
    """The queue is there, its binding is gone: the broker would take the message, and drop it."""
    publisher = Publisher(links[1], timeout_s=5.0)
    await publisher.publish([requested()])
    async with (
        await aio_pika.connect(servers.env["REMIT_AMQP_URL"]) as connection,
        await connection.channel() as channel,
    ):
        queue = await channel.get_queue("fraud.requested", ensure=False)
        exchange, key = topology.exchange_name("gateway"), topology.routing_key(TransferRequested.TYPE)
        await queue.unbind(exchange, key)
        try:
            with pytest.raises(BrokerUnavailable):
                await publisher.publish([requested()])
        finally:
            await queue.bind(exchange, key)
        await publisher.publish([requested()])
        await queue.purge()
