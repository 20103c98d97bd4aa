"""Consuming: drain what was delivered, carry it to its committed end, publish, acknowledge once.

The order is always commit, publish with confirms, ack; so a crash at any point leads to a redelivery that finds the
rows, changes nothing and publishes the same again. One consumer works on one batch at a time. Acknowledgements go to
the channel that delivered; a batch whose channel is gone is never acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import time
import traceback
from collections.abc import Awaitable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shared.contracts import topology
from shared.contracts.base import Message
from shared.contracts.envelope import encode_item
from shared.contracts.naming import named
from shared.errors import TransientError
from shared.messaging.batching import apart_s, take
from shared.messaging.connection import BROKER_ERRORS, Link, losses_named
from shared.messaging.dead_letters import DeadLetters, Letter
from shared.messaging.deliveries import Delivery, messages_without, read
from shared.messaging.publisher import Emission, Publisher, TopologyMissing
from shared.messaging.retry import LOCKS_MET_MAX, Handler, LockHeld, ServerDown, carry, locked_out_at_once
from shared.messaging.stream import Stream
from shared.observability import traces
from shared.observability.metrics import BATCH_ITEMS, BATCH_SECONDS, CONSUMED, GIVEN_UP, MESSAGE_AGE

log = structlog.get_logger(__name__)

Handlers = Mapping[str, Handler[Any]]

# From this redelivery on a message is handled alone, item by item, each try counted before it is made.
_ALONE_FROM_REDELIVERY = 2
_TRIES_MAX = 3
_INTERRUPTIONS: tuple[type[Exception], ...] = (TransientError, TopologyMissing, *BROKER_ERRORS)
_PAUSE_FIRST_S = 0.2
_PAUSE_MAX_S = 10.0
_SERVER_POLL_S = 1.0
_WATCHDOG_EVERY_S = 5.0
# A broker whose nodes lost sight of each other may believe that it delivered what never came. Nothing tells the
# consumer; a new stream, after a while, gets it.
_STREAM_S_MAX = 20.0

# A batch costs as much as some fifty items: under load consumers take fewer and larger ones. Settling gets the batches
# of screening, and needs no pause of its own. What nobody waits for takes its time always, and leaves the processors to
# those calls that somebody waits for.
SCREENING_APART_S = 0.03
FOLLOWING_APART_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How much a consumer takes at once."""

    prefetch_max: int = 32
    batch_items_max: int = 2_000
    # Among the consumers of a queue; None: this process's own.
    priority: int | None = None
    # Between the beginnings of two batches, in seconds: at least, and at most after one of many items (`apart_s`).
    apart_s_min: float = 0.0
    apart_s_max: float = 0.0


@dataclass
class _Carried:
    """What became of a batch, part by part: a lock that is held for one ends none of the others."""

    parts: list[Emission] = field(default_factory=list)
    locked_out: list[Message] = field(default_factory=list)
    locks_met: list[LockHeld] = field(default_factory=list)

    async def add(self, carrying: Awaitable[Emission]) -> None:
        try:
            self.parts.append(await carrying)
        except LockHeld as held:
            self.parts.append(held.emission)
            self.locked_out += held.items
            self.locks_met.append(held)

    def emission(self) -> Emission:
        """Of all parts.

        Raises:
            LockHeld: some items of some part go back.
        """
        emission = Emission.joined(self.parts)
        if self.locks_met:
            raise LockHeld(self.locked_out, emission) from self.locks_met[0].__cause__
        return emission


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
        self._stream: Stream | None = None
        self._pause_s = _PAUSE_FIRST_S
        self._in_hand = 0
        for message_type in handlers:
            # From zero, so that a rate sees the first one.
            GIVEN_UP.labels(message_type)

    @property
    def unacknowledged(self) -> int:
        """Messages that were delivered and not acknowledged yet."""
        stream = self._stream
        return self._in_hand + (0 if stream is None else stream.inbox.qsize())

    def stop(self) -> None:
        """Takes no further batch; `run` returns when the present one is finished."""
        self._stopping.set()

    async def is_consuming(self) -> bool:
        """Whether the broker, asked now, knows a consumer of this queue while ours is open."""
        stream = self._stream
        return stream is not None and await stream.is_known(self.queue)

    async def run(self) -> None:
        """Consumes until `stop`, through every loss of the broker and of the database."""
        # Whatever is logged on the way, by whatever handler, says whose batch it is about.
        structlog.contextvars.bind_contextvars(queue=self.queue)
        while not self._stopping.is_set():
            try:
                await self._unless_stopped(self._link.wait_up())
                if not self._stopping.is_set():
                    await self._session()
            except LockHeld as error:
                log.warning("lock_held", queue=self.queue, items=len(error.items), error=repr(error.__cause__))
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
        """Streams, each opened before the one before it ends, until one is lost."""
        stream = self._stream = await self._open()
        log.info("consuming", queue=self.queue)
        try:
            while await self._work(stream):
                old, stream = stream, await self._open()
                self._stream = stream
                await self._run_out(old)
        finally:
            self._stream, self._in_hand = None, 0
            await stream.close()

    async def _open(self) -> Stream:
        bounds = self._bounds
        return await Stream.opened(self._link, self.queue, prefetch_max=bounds.prefetch_max, priority=bounds.priority)

    async def _run_out(self, stream: Stream) -> None:
        """Carries what has come; what has not, although the broker believes it, comes again on the next stream."""
        try:
            await stream.stop()
            while not stream.inbox.empty():
                batch = await self._take(stream.inbox)
                stream.last_tag = await self._finish(stream.channel, batch, stream.last_tag)
        finally:
            await stream.close()

    async def _work(self, stream: Stream) -> bool:
        """Carries what comes; whether the stream has only had its time."""
        closed = asyncio.ensure_future(stream.channel.closed())
        stopped = asyncio.ensure_future(self._stopping.wait())
        try:
            while not (closed.done() or stopped.done()):
                if stream.age_s > _STREAM_S_MAX:
                    return True
                taking = asyncio.ensure_future(self._take(stream.inbox))
                await asyncio.wait(
                    {taking, closed, stopped},
                    timeout=min(_WATCHDOG_EVERY_S, _STREAM_S_MAX),
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not taking.done():
                    taking.cancel()
                    await asyncio.gather(taking, return_exceptions=True)
                    if not (closed.done() or stopped.done()) and not await stream.is_known(self.queue):
                        log.error("consumer_unknown_to_broker", queue=self.queue)
                        return False
                    continue
                batch, begun_s = taking.result(), time.monotonic()
                stream.last_tag = await self._finish(stream.channel, batch, stream.last_tag)
                if (left_s := begun_s + self._apart_s(batch) - time.monotonic()) > 0:
                    await asyncio.wait({closed, stopped}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in (closed, stopped):
                waiter.cancel()
        return False

    def _apart_s(self, batch: Sequence[Delivery]) -> float:
        """How long after the beginning of `batch` the next one may begin, in seconds."""
        if len(batch) >= self._bounds.prefetch_max:
            # The broker holds back what it may not deliver yet: a pause would bound how much is carried a second.
            return 0.0
        items = sum(len(delivery.items) for delivery in batch)
        return max(self._bounds.apart_s_min, apart_s(items, self._bounds.apart_s_max))

    async def _take(self, inbox: asyncio.Queue[AbstractIncomingMessage]) -> list[Delivery]:
        # Weighed by size: items are only known after reading, and reading is done once, below.
        messages = await take(
            inbox,
            weight=lambda m: 1 + len(m.body) // 1_024,
            weight_max=self._bounds.batch_items_max,
        )
        return [read(message, self.queue, self._handlers) for message in messages]

    async def _finish(self, channel: AbstractChannel, batch: list[Delivery], last_tag: int) -> int:
        tags = [delivery.message.delivery_tag or 0 for delivery in batch]
        if tags != list(range(last_tag + 1, last_tag + 1 + len(tags))):
            # One `multiple` acknowledgement would cover a message that was not handled.
            raise TransientError(f"deliveries out of order on {self.queue}")
        if (age_s := batch[0].age_s) is not None:
            MESSAGE_AGE.labels(self.queue).observe(age_s)
        self._in_hand = len(batch)
        held: LockHeld | None = None
        with BATCH_SECONDS.labels(self.queue).time():
            try:
                emission = await self._carry(batch)
            except LockHeld as error:
                held, emission = error, error.emission
            await self._publisher.emit(emission)
        if channel.is_closed:
            raise TransientError("the channel of this batch is gone; its messages come again")
        if held is not None:
            # What has ended does not come again; the rest does, when the stream is closed.
            with losses_named():
                for message in messages_without(batch, held.items):
                    await message.ack()
            raise held
        with losses_named():
            await batch[-1].message.ack(multiple=True)
        self._pause_s = _PAUSE_FIRST_S
        self._in_hand = 0
        log.debug("batch_carried", messages=len(batch), items=sum(len(delivery.items) for delivery in batch))
        return tags[-1]

    async def _carry(self, batch: list[Delivery]) -> Emission:
        letters = [letter for delivery in batch for letter in delivery.unreadable]
        if letters:
            await self._park(letters)
        together = [d for d in batch if d.redeliveries < self._alone_from]
        alone = [d for d in batch if d.redeliveries >= self._alone_from]
        items = [item for delivery in together for item in delivery.items]
        BATCH_ITEMS.labels(self.queue).observe(len(items))
        again = {id(item) for d in together if d.redeliveries for item in d.items} if traces.is_on() else ()
        carried = _Carried()
        for handler, run in itertools.groupby(items, key=lambda item: self._handlers[item.TYPE]):
            await carried.add(self._carry_run(handler, list(run), again))
        for item in (item for delivery in alone for item in delivery.items):
            if len(carried.locks_met) > LOCKS_MET_MAX:
                carried.locked_out.append(item)
            else:
                await carried.add(self._carry_alone(item, is_hurried=bool(carried.locks_met)))
        CONSUMED.labels(self.queue).inc(sum(len(delivery.items) for delivery in batch) - len(carried.locked_out))
        return carried.emission()

    async def _carry_run(self, handler: Handler[Any], items: Sequence[Message], again: Collection[int]) -> Emission:
        with traces.batch(handler.name, self.queue, items, redelivered=again):
            return await carry(handler, items)

    async def _carry_alone(self, item: Message, *, is_hurried: bool = False) -> Emission:
        """An item that has come back twice: its try is committed before it is made, so that a killer is caught.

        `is_hurried`: one before it has waited long enough for a lock.
        """
        tries = await self._counted(item)
        if tries > _TRIES_MAX:
            detail = f"{_TRIES_MAX} tries did not reach an end"
            await self._park([self._letter(item, "attempts_exhausted", detail)])
            return Emission()
        handler = self._handlers[item.TYPE]
        if is_hurried:
            handler = locked_out_at_once(handler)
        try:
            emission = await self._carry_run(handler, [item], {id(item)})
        except ServerDown:
            # The server's fault, not the item's: this try does not count, if that can be written.
            with suppress(TransientError):
                await self._dead_letters.discount_try(item.event_id)
            raise
        await self._forget(item)
        return emission

    async def _counted(self, item: Message) -> int:
        try:
            return await self._dead_letters.count_try(item.event_id)
        except TransientError as error:
            raise ServerDown from error

    async def _forget(self, item: Message) -> None:
        try:
            await self._dead_letters.forget(item.event_id)
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
        named=named(item),
    )


def described(error: BaseException, *, characters_max: int = 4_000) -> str:
    """An error with its stack, for the operator who inspects a dead letter; bounded."""
    return "".join(traceback.format_exception(error))[-characters_max:]
