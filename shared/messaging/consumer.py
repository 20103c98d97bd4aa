"""Consuming: drain what was delivered, carry it to its committed end, publish, acknowledge once.

The order is always commit, publish with confirms, ack; so a crash at any point leads to a redelivery that finds the
rows, changes nothing and publishes the same again. One consumer works on one batch at a time. Acknowledgements go to
the channel that delivered; a batch whose channel is gone is never acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import (
    Unreadable,
    encode_item,
    open_header,
    read_each,
    read_items,
)
from shared.errors import TransientError
from shared.messaging.batching import take
from shared.messaging.connection import BROKER_ERRORS, Link
from shared.messaging.dead_letters import DeadLetters, Letter
from shared.messaging.publisher import Emission, Publisher, TopologyMissing
from shared.messaging.retry import Handler, ServerDown, carry
from shared.observability.metrics import BATCH_ITEMS, BATCH_SECONDS, CONSUMED

log = structlog.get_logger(__name__)

Handlers = Mapping[str, Handler[Any]]

# From this redelivery on a message is handled alone, item by item, each try counted before it is made.
_ALONE_FROM_REDELIVERY = 2
_TRIES_MAX = 3
_RPC_TIMEOUT_S = 5.0
_INTERRUPTIONS: tuple[type[Exception], ...] = (TransientError, TopologyMissing, *BROKER_ERRORS)
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 10.0
_SERVER_POLL_S = 1.0
_WATCHDOG_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much a consumer takes at once."""

    prefetch_max: int = 64
    batch_items_max: int = 2_000


@dataclass
class _Delivery:
    message: AbstractIncomingMessage
    items: list[Message]
    unreadable: list[Letter]

    @property
    def weight(self) -> int:
        return max(1, len(self.items))

    @property
    def redeliveries(self) -> int:
        count = self.message.headers.get("x-delivery-count", 0)
        return count if isinstance(count, int) else 0


class Consumer:
    """Consumes one queue with one handler a message type, over one link, one batch at a time."""

    def __init__(
        self,
        link: Link,
        publisher: Publisher,
        dead_letters: DeadLetters,
        queue: str,
        handlers: Handlers,
        bounds: Bounds | None = None,
        *,
        always_alone: bool = False,
    ) -> None:
        self._link = link
        self._publisher = publisher
        self._dead_letters = dead_letters
        self.queue = queue
        self._handlers = handlers
        self._bounds = bounds or Bounds()
        self._alone_from = 0 if always_alone else _ALONE_FROM_REDELIVERY
        self._stopping = asyncio.Event()
        self._channel: AbstractChannel | None = None
        self._consuming = False
        self._pause_s = _PAUSE_FIRST_S

    def stop(self) -> None:
        """Takes no further batch; `run` returns when the present one is finished."""
        self._stopping.set()

    async def is_consuming(self) -> bool:
        """Whether the broker, asked now, knows a consumer of this queue while ours is open."""
        channel = self._channel
        if not self._consuming or channel is None or channel.is_closed:
            return False
        try:
            declared = await channel.declare_queue(self.queue, passive=True, timeout=_RPC_TIMEOUT_S)
        except BROKER_ERRORS:
            return False
        return bool(declared.declaration_result.consumer_count)

    async def run(self) -> None:
        """Consumes until `stop`, through every loss of the broker and of the database."""
        while not self._stopping.is_set():
            try:
                await self._unless_stopped(self._link.wait_up())
                if not self._stopping.is_set():
                    await self._session()
            except ServerDown as error:
                log.error("database_down", queue=self.queue, error=repr(error.__cause__))
                await self._wait_for_server()
            except _INTERRUPTIONS as error:
                log.warning("consumer_interrupted", queue=self.queue, error=repr(error))
            # Each return of its messages counts towards the broker's limit: what goes on failing is asked less often.
            await self._unless_stopped(asyncio.sleep(self._pause_s))
            self._pause_s = min(self._pause_s * 2, _PAUSE_MAX_S)

    async def _unless_stopped(self, awaitable: Any) -> None:
        tasks = [
            asyncio.ensure_future(awaitable),
            asyncio.ensure_future(self._stopping.wait()),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _wait_for_server(self) -> None:
        handler = next(iter(self._handlers.values()))
        while not self._stopping.is_set() and not await handler.is_writable():
            await self._unless_stopped(asyncio.sleep(_SERVER_POLL_S))

    async def _session(self) -> None:
        """One life of one channel."""
        inbox: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()

        async def receive(message: AbstractIncomingMessage) -> None:
            inbox.put_nowait(message)

        async with self._link.channel(confirms=False) as channel:
            await channel.set_qos(prefetch_count=self._bounds.prefetch_max, timeout=_RPC_TIMEOUT_S)
            queue = await channel.get_queue(self.queue, ensure=True)
            tag = await queue.consume(receive, no_ack=False, timeout=_RPC_TIMEOUT_S)
            self._channel, self._consuming = channel, True
            log.info("consuming", queue=self.queue)
            try:
                await self._work(channel, inbox)
            finally:
                self._consuming = False
                if not channel.is_closed:
                    # The consumer goes before the channel: what is still being delivered then simply goes back.
                    with suppress(*BROKER_ERRORS):
                        await queue.cancel(tag, timeout=_RPC_TIMEOUT_S)

    async def _work(self, channel: AbstractChannel, inbox: asyncio.Queue[AbstractIncomingMessage]) -> None:
        closed = asyncio.ensure_future(channel.closed())
        stopped = asyncio.ensure_future(self._stopping.wait())
        last_tag = 0
        try:
            while not (closed.done() or stopped.done()):
                taking = asyncio.ensure_future(self._take(inbox))
                timeout = _WATCHDOG_EVERY_S
                await asyncio.wait(
                    {taking, closed, stopped},
                    timeout=timeout,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not taking.done():
                    taking.cancel()
                    await asyncio.gather(taking, return_exceptions=True)
                    if not (closed.done() or stopped.done()) and not await self.is_consuming():
                        log.error("consumer_unknown_to_broker", queue=self.queue)
                        return
                    continue
                last_tag = await self._finish(channel, taking.result(), last_tag)
        finally:
            for waiter in (closed, stopped):
                waiter.cancel()

    async def _take(self, inbox: asyncio.Queue[AbstractIncomingMessage]) -> list[_Delivery]:
        # Weighed by size: items are only known after reading, and reading is done once, below.
        messages = await take(
            inbox,
            weight=lambda m: 1 + len(m.body) // 1_024,
            weight_max=self._bounds.batch_items_max,
        )
        return [self._read(message) for message in messages]

    def _read(self, message: AbstractIncomingMessage) -> _Delivery:
        def letter(text: str, reason: str, message_type: str) -> Letter:
            return Letter(
                message_type=message_type,
                reason="poison",
                detail=reason,
                origin=self.queue,
                item=text,
            )

        try:
            header = open_header(message.body)
            if header.type not in self._handlers:
                raise Unreadable(f"type {header.type!r} does not belong on {self.queue}")
        except Unreadable as error:
            text = message.body.decode("utf-8", "backslashreplace")
            return _Delivery(message, [], [letter(text, str(error), message.type or "unknown")])
        try:
            return _Delivery(message, read_items(header), [])
        except Unreadable:
            each = list(read_each(header))
        return _Delivery(
            message,
            [item for _, item in each if isinstance(item, Message)],
            [
                letter(
                    bytes(raw).decode("utf-8", "backslashreplace"),
                    str(item),
                    header.type,
                )
                for raw, item in each
                if isinstance(item, Unreadable)
            ],
        )

    async def _finish(self, channel: AbstractChannel, batch: list[_Delivery], last_tag: int) -> int:
        tags = [delivery.message.delivery_tag or 0 for delivery in batch]
        if tags != list(range(last_tag + 1, last_tag + 1 + len(tags))):
            # One `multiple` acknowledgement would cover a message that was not handled.
            raise TransientError(f"deliveries out of order on {self.queue}")
        with BATCH_SECONDS.labels(self.queue).time():
            emission = await self._carry(batch)
            await self._publisher.emit(emission)
        if channel.is_closed:
            raise TransientError("the channel of this batch is gone; its messages come again")
        await batch[-1].message.ack(multiple=True)
        self._pause_s = _PAUSE_FIRST_S
        return tags[-1]

    async def _carry(self, batch: list[_Delivery]) -> Emission:
        letters = [letter for delivery in batch for letter in delivery.unreadable]
        if letters:
            await self._park(letters)
        together = [d for d in batch if d.redeliveries < self._alone_from]
        alone = [d for d in batch if d.redeliveries >= self._alone_from]
        parts = []
        items = [item for delivery in together for item in delivery.items]
        BATCH_ITEMS.labels(self.queue).observe(len(items))
        for handler, run in itertools.groupby(items, key=lambda item: self._handlers[item.TYPE]):
            parts.append(await carry(handler, list(run)))
        for delivery in alone:
            parts += [await self._carry_alone(item) for item in delivery.items]
        CONSUMED.labels(self.queue).inc(sum(len(delivery.items) for delivery in batch))
        return Emission.joined(parts)

    async def _carry_alone(self, item: Message) -> Emission:
        """An item that has come back twice: its try is committed before it is made, so that a killer is caught."""
        tries = await self._counted(item)
        if tries > _TRIES_MAX:
            detail = f"{_TRIES_MAX} tries did not reach an end"
            await self._park([self._letter(item, "attempts_exhausted", detail)])
            return Emission()
        try:
            emission = await carry(self._handlers[item.TYPE], [item])
        except ServerDown:
            # The server's fault, not the item's: this try does not count, if that can be written.
            with suppress(TransientError):
                await self._dead_letters.discount_try(item.event_id)
            raise
        await self._dead_letters.forget(item.event_id)
        return emission

    async def _counted(self, item: Message) -> int:
        try:
            return await self._dead_letters.count_try(item.event_id)
        except TransientError as error:
            raise ServerDown from error

    async def _park(self, letters: Sequence[Letter]) -> None:
        try:
            await self._dead_letters.park(letters)
        except TransientError as error:
            raise ServerDown from error

    def _letter(self, item: Message, reason: str, detail: str) -> Letter:
        return letter_of(item, reason=reason, detail=detail, origin=self.queue)


def dead_letter_consumer(
    link: Link, publisher: Publisher, dead_letters: DeadLetters, service: str, handlers: Handlers
) -> Consumer:
    """Consumes what the broker gave up: it may only have met too many clean closes, so each item is tried again alone,
    and parked when its own tries are used up."""
    bounds = Bounds(prefetch_max=10, batch_items_max=100)
    queue = topology.dead_letter_queue(service)
    return Consumer(link, publisher, dead_letters, queue, handlers, bounds, always_alone=True)


def letter_of(item: Message, *, reason: str, detail: str, origin: str) -> Letter:
    """An item that could be read, as a dead letter."""
    return Letter(
        message_type=item.TYPE,
        reason=reason,
        detail=detail,
        origin=origin,
        item=encode_item(item).decode(),
    )


def described(error: BaseException, *, characters_max: int = 4_000) -> str:
    """An error with its stack, for the operator who inspects a dead letter; bounded."""
    return "".join(traceback.format_exception(error))[-characters_max:]
