"""The broker as a test sees it: as administrator, beside the services."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import open_header, read_items, seal
from tests.support.waiting import eventually


class BrokerProbe:
    """Publishes as anybody, listens to everything, purges."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def publish(self, items: Sequence[Message]) -> None:
        """One envelope, through the exchange of the type's owner."""
        first = items[0]
        key = topology.routing_key(first.TYPE, first.recipient)
        await self.publish_body(first.TYPE, seal(items), key=key)

    async def publish_body(
        self, message_type: str, body: bytes, headers: dict[str, int] | None = None, *, key: str | None = None
    ) -> None:
        """Any body under a type's routing key."""
        exchange = await self._channel.get_exchange(topology.exchange_of(message_type))
        packet = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, headers=dict(headers or {}))
        await exchange.publish(packet, key or message_type, timeout=5)

    async def publish_dead(self, queue: str, body: bytes) -> None:
        """A body as the broker dead-letters it from `queue`."""
        exchange = await self._channel.get_exchange(topology.DEAD_LETTER_EXCHANGE)
        await exchange.publish(aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT), queue, timeout=5)

    async def listen(self, message_type: str) -> Heard:
        """All items of a type from now on."""
        queue = await self._channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(await self._channel.get_exchange(topology.exchange_of(message_type)), message_type)
        return Heard(queue)

    async def replies_to(self, instance: str) -> Heard:
        """All that is told to a gateway instance of this name from now on."""
        queue = await self._channel.declare_queue(exclusive=True, auto_delete=True)
        await queue.bind(await self._channel.get_exchange(topology.REPLIES_EXCHANGE), instance)
        return Heard(queue)

    async def purge(self, queue: str) -> None:
        """Empties a queue of what nobody has taken."""
        await (await self._channel.get_queue(queue)).purge()

    async def ready(self, queue: str) -> int:
        """How many messages wait in a queue."""
        declared = await self._channel.declare_queue(queue, passive=True)
        return declared.declaration_result.message_count or 0


class Heard:
    """The items that arrived on a queue."""

    def __init__(self, queue: AbstractQueue) -> None:
        self._queue = queue
        self.items: list[Message] = []

    async def at_least(self, count: int, *, timeout_s: float = 15.0) -> list[Message]:
        """Everything so far, once it is at least `count` items."""
        async with asyncio.timeout(timeout_s):
            while len(self.items) < count:
                if not await self._take():
                    await asyncio.sleep(0.02)
        return self.items

    async def so_far(self) -> list[Message]:
        """Everything that the broker had taken before this call; what it has confirmed is among that."""
        while await self._take():
            pass
        return self.items

    async def message(self) -> AbstractIncomingMessage:
        """The next one as it came; one that was sent without a confirm may be on its way still."""
        found = await eventually(self._next)
        assert found is not None
        return found

    async def _next(self) -> AbstractIncomingMessage | None:
        return await self._queue.get(no_ack=True, fail=False)

    async def _take(self) -> bool:
        message = await self._next()
        if message is not None:
            self.items += read_items(open_header(message.body))
        return message is not None


@asynccontextmanager
async def broker_probe(url: str) -> AsyncIterator[BrokerProbe]:
    """A probe with the administrator's address."""
    connection = await aio_pika.connect(url, timeout=5)
    try:
        yield BrokerProbe(await connection.channel(publisher_confirms=True, on_return_raises=True))
    finally:
        await connection.close()
