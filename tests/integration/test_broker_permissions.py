"""A service's broker user may publish its own types and consume its own queues; everything else the broker refuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelInvalidStateError

from deploy.local.stack import Stack
from shared.contracts import topology
from shared.messaging.connection import TidyConnection
from shared.settings import amqp_url

_SERVICES = tuple(topology.PUBLISHED)
_EXCHANGES = (
    *(topology.exchange_name(service) for service, types in topology.PUBLISHED.items() if types),
    topology.REPLIES_EXCHANGE,
    topology.DEAD_LETTER_EXCHANGE,
)
_DEAD_LETTERS = {service: topology.dead_letter_queue(service) for service in topology.CONSUMERS}
_QUEUES = {
    **{queue.name: queue.consumer for queue in topology.QUEUES},
    **{queue: service for service, queue in _DEAD_LETTERS.items()},
}
# What the design gives each service beside the exchange of its own name.
_ALSO_WRITES = {"transfer": {topology.REPLIES_EXCHANGE}}


@asynccontextmanager
async def _channel(servers: Stack, service: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url(servers.env, service), timeout=5)
    try:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)
    finally:
        await connection.close()


async def _is_refused(servers: Stack, service: str, act: Callable[[AbstractChannel], Awaitable[object]]) -> bool:
    """Whether the broker closed the channel because of `act`, and for no other reason than that it is not allowed."""
    async with _channel(servers, service) as channel:
        try:
            await act(channel)
        except (ChannelInvalidStateError, ChannelClosed, AMQPError) as error:
            if "ACCESS_REFUSED" in repr(error) or "access to" in repr(error):
                return True
            raise
        return False


def _publish(exchange: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    async def act(channel: AbstractChannel) -> object:
        place = await channel.get_exchange(exchange, ensure=False)
        # To nobody: a message that would be taken is given back, and forges nothing.
        return await place.publish(aio_pika.Message(b"forged"), "nobody", mandatory=False, timeout=5)

    return act


def _publish_past_exchanges(queue: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    return lambda channel: channel.default_exchange.publish(aio_pika.Message(b"forged"), queue, timeout=5)


def _get(queue: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    async def act(channel: AbstractChannel) -> object:
        place = await channel.get_queue(queue, ensure=False)
        message = await place.get(fail=False, timeout=5)
        if message is not None:
            await message.nack()
        return message

    return act


def _purge(queue: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    async def act(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).purge(timeout=5)

    return act


@pytest.mark.parametrize("service", _SERVICES)
async def test_each_publishes_through_its_own_exchange_alone(servers: Stack, service: str) -> None:
    """The exchange is the type's owner: whoever cannot write there cannot forge what only the owner may say."""
    own = {topology.exchange_name(service)} if topology.PUBLISHED[service] else set()
    allowed = {name for name in _EXCHANGES if not await _is_refused(servers, service, _publish(name))}
    assert allowed == own | _ALSO_WRITES.get(service, set())


@pytest.mark.parametrize("service", _SERVICES)
async def test_none_puts_a_message_into_a_queue_past_the_exchanges(servers: Stack, service: str) -> None:
    """The default exchange leads to every queue by its name."""
    for queue in _QUEUES:
        assert await _is_refused(servers, service, _publish_past_exchanges(queue)), queue


@pytest.mark.parametrize("service", _SERVICES)
async def test_each_takes_from_its_own_queues_alone(servers: Stack, service: str) -> None:
    allowed = {queue for queue in _QUEUES if not await _is_refused(servers, service, _get(queue))}
    assert allowed == {queue for queue, consumer in _QUEUES.items() if consumer == service}


@pytest.mark.parametrize("service", _SERVICES)
async def test_none_empties_the_queue_of_another(servers: Stack, service: str) -> None:
    for queue, consumer in _QUEUES.items():
        if consumer != service:
            assert await _is_refused(servers, service, _purge(queue)), queue


@pytest.mark.parametrize("service", _SERVICES)
async def test_none_makes_binds_or_removes_anything(servers: Stack, service: str) -> None:
    """A queue of one's own, bound to another's exchange, would hear everything."""
    queue, exchange = topology.QUEUES[0].name, topology.exchange_name("transfer")
    acts: dict[str, Callable[[AbstractChannel], Awaitable[object]]] = {
        "a queue": lambda channel: channel.declare_queue("listening", exclusive=True, timeout=5),
        "an exchange": lambda channel: channel.declare_exchange("remit.forged", timeout=5),
        "another service's replies": lambda channel: channel.declare_queue("fraud.replies", exclusive=True, timeout=5),
        "a queue gone": lambda channel: channel.queue_delete(queue, timeout=5),
        "an exchange gone": lambda channel: channel.exchange_delete(exchange, timeout=5),
    }
    for what, act in acts.items():
        assert await _is_refused(servers, service, act), what


async def test_a_gateway_binds_its_replies_and_cannot_bind_them_to_events(servers: Stack) -> None:
    async def listen_to(channel: AbstractChannel, exchange: str) -> object:
        queue = await channel.declare_queue(topology.reply_queue("forged"), exclusive=True, timeout=5)
        return await queue.bind(await channel.get_exchange(exchange, ensure=False), "#", timeout=5)

    allowed = {
        name
        for name in _EXCHANGES
        if not await _is_refused(servers, "gateway", lambda c, n=name: listen_to(c, n))  # type: ignore[misc]
    }
    assert allowed == {topology.REPLIES_EXCHANGE}


@pytest.mark.parametrize("service", _SERVICES)
async def test_a_wrong_password_lets_nobody_in(servers: Stack, service: str) -> None:
    url = amqp_url(servers.env, service).replace("@", "x@", 1)
    with pytest.raises((AMQPError, ConnectionError)):
        await aio_pika.connect(url, timeout=5, connection_class=TidyConnection)
