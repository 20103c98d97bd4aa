"""Publishing that has happened when it returns: durable envelopes confirmed by the broker, replies as best effort."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import structlog
from aio_pika import DeliveryMode
from aio_pika import Message as Packet
from aio_pika.abc import AbstractChannel

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import seal
from shared.errors import RemitError
from shared.messaging.connection import BROKER_ERRORS, BrokerUnavailable, Link, losses_named
from shared.observability.metrics import PUBLISHED, REPLIES_LOST

log = structlog.get_logger(__name__)

_CLOSE_TIMEOUT_S = 1.0
_NOT_SENT: tuple[type[Exception], ...] = (BrokerUnavailable, *BROKER_ERRORS)


class TopologyMissing(RemitError):
    """A queue that must hold this message does not exist at the broker; nothing was published."""


@dataclass(frozen=True, kw_only=True)
class Emission:
    """What a batch wants told: events for every queue that holds their type, and replies to waiting gateways."""

    events: Sequence[Message] = ()
    replies: Sequence[tuple[str, Message]] = ()

    @classmethod
    def joined(cls, parts: Iterable[Emission]) -> Emission:
        """All parts as one, in order."""
        parts = list(parts)
        return cls(
            events=[event for part in parts for event in part.events],
            replies=[reply for part in parts for reply in part.replies],
        )


class Publisher:
    """Publishes for one service on one link: one confirmed channel, one transient channel for replies."""

    def __init__(self, link: Link, *, timeout_s: float, items_max: int = 2_000) -> None:
        self._link = link
        self._timeout_s = timeout_s
        self._items_max = items_max
        self._channels: dict[bool, AbstractChannel] = {}
        self._loss = link.loss
        self._opening = asyncio.Lock()
        self._checked: set[str] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def is_ready(self) -> bool:
        """Whether the broker is connected now, and takes messages."""
        return self._link.takes_messages

    async def emit(self, emission: Emission) -> None:
        """The replies, whose loss is only counted; then the events, each type in an envelope and confirmed.

        All of it tells what is committed. Whoever waits for a reply need not wait for the queues of the others.

        Raises:
            BrokerUnavailable: an envelope was not confirmed; it may or may not have been taken.
        """
        await self._reply(emission.replies)
        by_type: dict[tuple[str, str], list[Message]] = defaultdict(list)
        for event in emission.events:
            by_type[event.TYPE, event.recipient].append(event)
        for items in by_type.values():
            for start in range(0, len(items), self._items_max):
                await self.publish(items[start : start + self._items_max])

    async def publish(self, items: Sequence[Message]) -> None:
        """One durable envelope of `items`, all of one type and recipient, confirmed by every queue that holds them.

        Raises:
            BrokerUnavailable: not confirmed in time; it may or may not have been taken.
            TopologyMissing: a queue for this type does not exist; nothing was published.
        """
        message_type, recipient = items[0].TYPE, items[0].recipient
        packet = Packet(
            seal(items),
            content_type="application/json",
            type=message_type,
            delivery_mode=DeliveryMode.PERSISTENT,
        )
        key = topology.routing_key(message_type, recipient)
        try:
            with losses_named():
                async with asyncio.timeout(self._timeout_s):
                    channel = await self._channel(confirms=True)
                    await self._check_queues(channel, message_type, recipient)
                    exchange = await channel.get_exchange(topology.exchange_of(message_type), ensure=False)
                    await exchange.publish(packet, key, mandatory=True, timeout=self._timeout_s)
        except BROKER_ERRORS as error:
            self._drop()
            raise BrokerUnavailable(f"not confirmed: {type(error).__name__}") from error
        PUBLISHED.labels(message_type).inc(len(items))

    async def _check_queues(self, channel: AbstractChannel, message_type: str, recipient: str) -> None:
        # `mandatory` proves that one queue took the message, not that all did: each is looked for once a connection.
        key = topology.routing_key(message_type, recipient)
        if key in self._checked:
            return
        for queue in topology.queues_of(message_type, recipient):
            try:
                with losses_named():
                    await channel.declare_queue(queue, passive=True, timeout=self._timeout_s)
            except BROKER_ERRORS as error:
                self._drop()
                if "NOT_FOUND" in str(error):
                    raise TopologyMissing(f"queue {queue} does not exist") from error
                raise
        self._checked.add(key)

    async def _reply(self, replies: Sequence[tuple[str, Message]]) -> None:
        by_place: dict[tuple[str, str], list[Message]] = defaultdict(list)
        for instance, message in replies:
            if instance:
                by_place[instance, message.TYPE].append(message)
        for (instance, _), items in by_place.items():
            packet = Packet(
                seal(items),
                content_type="application/json",
                delivery_mode=DeliveryMode.NOT_PERSISTENT,
            )
            try:
                with losses_named():
                    async with asyncio.timeout(self._timeout_s):
                        channel = await self._channel(confirms=False)
                        exchange = await channel.get_exchange(topology.REPLIES_EXCHANGE, ensure=False)
                        await exchange.publish(packet, instance, mandatory=False, timeout=self._timeout_s)
            except _NOT_SENT as error:
                # The gateway reads the row when nobody tells it.
                REPLIES_LOST.inc(len(items))
                log.warning("reply_not_sent", items=len(items), error=type(error).__name__)

    async def _channel(self, *, confirms: bool) -> AbstractChannel:
        async with self._opening:
            if self._loss.is_set():
                # Nothing that is published on a channel of a lost connection fails, if nobody told the channel.
                self._channels.clear()
            channel = self._channels.get(confirms)
            if channel is None or channel.is_closed:
                if confirms:
                    self._checked.clear()
                self._loss = self._link.loss
                channel = await self._link.open_channel(confirms=confirms)
                self._channels[confirms] = channel
            return channel

    def _drop(self) -> None:
        """After a failure nothing is known of a channel's confirms: the next publish starts on a new one.

        The old ones are closed beside it: a broker that does not answer must not hold up the caller's answer too.
        """
        channels, self._channels = list(self._channels.values()), {}
        for channel in channels:
            task = asyncio.create_task(_close(channel), name="publisher channel close")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(channel: AbstractChannel) -> None:
    with suppress(*BROKER_ERRORS), losses_named():
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await channel.close()
