"""The reply queue of one gateway instance: transient outcomes for whoever still waits; losing one costs only time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import Unreadable, open_header, read_items
from shared.messaging.connection import BROKER_ERRORS, BrokerUnavailable, Link, losses_named
from shared.observability.metrics import REPLIES_UNREADABLE

log = structlog.get_logger(__name__)

_RPC_TIMEOUT_S = 5.0
_AGAIN_PAUSE_S = 0.5
_INTERRUPTIONS: tuple[type[Exception], ...] = (BrokerUnavailable, *BROKER_ERRORS)


class ReplyQueue:
    """Declares the queue on each connect, binds it under the instance's name, and hands on what arrives."""

    def __init__(self, link: Link, instance: str, receive: Callable[[Sequence[Message]], None]) -> None:
        self._link = link
        self._instance = instance
        self._receive = receive
        self._channel: AbstractChannel | None = None

    @property
    def is_bound(self) -> bool:
        """Whether replies reach this process now."""
        return self._channel is not None and not self._channel.is_closed and self._link.is_up

    async def run(self) -> None:
        """Consumes until cancelled, through every loss of the broker."""
        while True:
            await self._link.wait_up()
            try:
                with losses_named():
                    await self._session()
            except _INTERRUPTIONS as error:
                log.warning("reply_queue_interrupted", error=repr(error))
            # A queue that is exclusive to a connection the broker still believes in is refused for a moment.
            await asyncio.sleep(_AGAIN_PAUSE_S)

    async def _session(self) -> None:
        loss = self._link.loss
        async with self._link.channel(confirms=False) as channel:
            queue = await self._bound_queue(channel)
            await queue.consume(self._take, no_ack=True, timeout=_RPC_TIMEOUT_S)
            self._channel = channel
            log.info("replies_bound", queue=queue.name)
            ends = {asyncio.ensure_future(channel.closed()), asyncio.ensure_future(loss.wait())}
            try:
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for end in ends:
                    end.cancel()
                self._channel = None

    async def _bound_queue(self, channel: AbstractChannel) -> AbstractQueue:
        name = topology.reply_queue(self._instance)
        queue = await channel.declare_queue(name, exclusive=True, auto_delete=True, timeout=_RPC_TIMEOUT_S)
        exchange = await channel.get_exchange(topology.REPLIES_EXCHANGE, ensure=False)
        await queue.bind(exchange, self._instance, timeout=_RPC_TIMEOUT_S)
        return queue

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            items = read_items(open_header(message.body))
        except Unreadable as error:
            REPLIES_UNREADABLE.inc()
            log.error("reply_unreadable", error=str(error))
            return
        self._receive(items)
