"""What the broker delivers to one consumer over one channel, from the first message to the last."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue, ConsumerTag

from shared.messaging.connection import BROKER_ERRORS, Link, losses_named

_RPC_TIMEOUT_S = 5.0
# This process's, where none is set: of several workers one carries what it can, in batches as large as if it were alone
# (decision 0029). Above that of a worker that says none.
_DRAWN_PRIORITY = random.randint(1, 65_535)  # noqa: S311 - no secret


class Stream:
    """One consumer at the broker. What it delivered and was not acknowledged goes back when the stream is closed."""

    def __init__(self, channel: AbstractChannel) -> None:
        self.channel = channel
        self.inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self.opened_s = time.monotonic()
        # The newest delivery that is acknowledged.
        self.last_tag = 0
        self._consuming: tuple[AbstractQueue, ConsumerTag] | None = None

    @classmethod
    async def opened(cls, link: Link, queue: str, *, prefetch_max: int, priority: int | None = None) -> Stream:
        """A stream of `queue`, on a channel of its own; `priority` among its consumers: this process's if not said.

        Raises:
            BrokerUnavailable: there is no connection now.
        """
        stream = cls(await link.open_channel(confirms=False))
        try:
            await stream._begin(queue, prefetch_max, _DRAWN_PRIORITY if priority is None else priority)
        except BaseException:
            await stream.close()
            raise
        return stream

    async def _begin(self, queue: str, prefetch_max: int, priority: int) -> None:
        async def receive(message: AbstractIncomingMessage) -> None:
            self.inbox.put_nowait(message)

        with losses_named():
            await self.channel.set_qos(prefetch_count=prefetch_max, timeout=_RPC_TIMEOUT_S)
            found = await self.channel.get_queue(queue, ensure=True)
            tag = await found.consume(receive, arguments={"x-priority": priority}, timeout=_RPC_TIMEOUT_S)
            self._consuming = found, tag

    @property
    def age_s(self) -> float:
        return time.monotonic() - self.opened_s

    async def is_known(self, queue: str) -> bool:
        """Whether the broker, asked now, knows a consumer of this queue while this one is open."""
        if self.channel.is_closed:
            return False
        try:
            with losses_named():
                declared = await self.channel.declare_queue(queue, passive=True, timeout=_RPC_TIMEOUT_S)
        except BROKER_ERRORS:
            return False
        return bool(declared.declaration_result.consumer_count)

    async def stop(self) -> None:
        """Nothing new is delivered; what is in the inbox can still be carried and acknowledged."""
        consuming, self._consuming = self._consuming, None
        if consuming is not None and not self.channel.is_closed:
            queue, tag = consuming
            with suppress(*BROKER_ERRORS), losses_named():
                await queue.cancel(tag, timeout=_RPC_TIMEOUT_S)

    async def close(self) -> None:
        """Gives back what is not acknowledged."""
        # The consumer goes before the channel: what is still being delivered then simply goes back.
        await self.stop()
        with suppress(*BROKER_ERRORS), losses_named():
            async with asyncio.timeout(_RPC_TIMEOUT_S):
                await self.channel.close()
