"""Faults of messages: duplicated, shuffled, unreadable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from random import Random
from typing import Any

from remit.prove.lab import Lab
from remit.prove.nemesis.base import Nemesis
from shared.contracts import topology
from shared.messaging.connection import Link

_WINDOW = 100
_WINDOW_S = 0.2
_DUPLICATED = 0.5
_SHADOW = "remit.prove.shadow"
_PUBLISH_TIMEOUT_S = 10.0


class _Shuffler:
    """Stands between an exchange and a queue: takes what is published, and hands it on twice and out of order."""

    def __init__(self, channel: Any, spec: topology.QueueSpec, draw: Random) -> None:
        self._channel = channel
        self._spec = spec
        self._draw = draw
        self.messages = 0

    async def divert(self) -> Any:
        """Messages go to the shadow queue instead; first one, then the other, so that none falls between."""
        shadow = await self._channel.declare_queue(f"{_SHADOW}.{self._spec.name}", durable=True)
        await self._rebind(shadow, bind=True)
        await self._rebind(await self._channel.get_queue(self._spec.name, ensure=False), bind=False)
        return shadow

    async def undo(self, shadow: Any) -> None:
        """Messages go where they belong; what is left in the shadow queue follows."""
        await self._rebind(await self._channel.get_queue(self._spec.name, ensure=False), bind=True)
        await self._rebind(shadow, bind=False)
        while await self.hand_on(shadow):
            pass
        await shadow.delete(if_unused=False, if_empty=True)

    async def _rebind(self, queue: Any, *, bind: bool) -> None:
        for message_type, key in zip(self._spec.types, self._spec.keys, strict=True):
            exchange = topology.exchange_of(message_type)
            await (queue.bind(exchange, key) if bind else queue.unbind(exchange, key))

    async def hand_on(self, shadow: Any) -> int:
        """One window, shuffled, half of it twice; how many there were."""
        window: list[Any] = []
        while len(window) < _WINDOW and (message := await shadow.get(fail=False)) is not None:
            window.append(message)
        chosen = [message for message in window for _ in range(1 + (self._draw.random() < _DUPLICATED))]
        self._draw.shuffle(chosen)
        # Confirmed side by side: a window must not take longer to hand on than to fill.
        publish = self._channel.default_exchange.publish
        await asyncio.gather(*(publish(one, self._spec.name, timeout=_PUBLISH_TIMEOUT_S) for one in chosen))
        for message in window:
            await message.ack()
        self.messages += len(window)
        return len(window)

    async def run(self, shadow: Any, stop: asyncio.Event) -> None:
        """Goes on until told to stop; a window that was begun is finished."""
        while not stop.is_set():
            await self.hand_on(shadow)
            with suppress(TimeoutError):
                async with asyncio.timeout(_WINDOW_S):
                    await stop.wait()


@asynccontextmanager
async def _shuffled(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """Every queue of work at once, and two workers at each, so that copies meet in both at the same time."""
    specs = [spec for spec in topology.QUEUES if not spec.name.endswith("dead_letter_commands")]
    consumers = sorted({spec.consumer for spec in specs})
    for consumer in consumers:
        await lab.start(consumer, 2)
    async with Link(lab.env["REMIT_AMQP_URL"], name="remit prove").opened() as link, AsyncExitStack() as channels:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            for spec in specs:
                shuffler = _Shuffler(await channels.enter_async_context(link.channel(confirms=True)), spec, draw)
                group.create_task(shuffler.run(await shuffler.divert(), stop))
            try:
                yield f"{len(specs)} queues"
            finally:
                stop.set()
    async with Link(lab.env["REMIT_AMQP_URL"], name="remit prove").opened() as link, link.channel(confirms=True) as own:
        for spec in specs:
            shuffler = _Shuffler(own, spec, draw)
            await shuffler.undo(await own.declare_queue(f"{_SHADOW}.{spec.name}", durable=True))
    for consumer in consumers:
        await lab.stop(consumer, n=2)


@asynccontextmanager
async def _poisoned(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """Messages that nobody can read, among good ones; each is parked for an operator."""
    spec = draw.choice([spec for spec in topology.QUEUES if not spec.name.endswith("dead_letter_commands")])
    count = draw.randint(1, 3)
    async with lab.management() as api:
        for _ in range(count):
            marker = f"prove-poison-{draw.getrandbits(64):016x}"
            body = {
                "properties": {"delivery_mode": 2},
                "routing_key": spec.name,
                "payload": f'{{"marker":"{marker}"',
                "payload_encoding": "string",
            }
            answer = await api.post("/api/exchanges/%2F/amq.default/publish", json=body)
            if not answer.raise_for_status().json()["routed"]:
                raise RuntimeError(f"{spec.name} did not take the poison")
            lab.planted.append(marker)
    yield f"{count} in {spec.name}"


NEMESES = (
    Nemesis(
        name="shuffled and doubled",
        does=f"what is published to any queue arrives in windows of {_WINDOW}, shuffled, half of it twice",
        promises="the first of equals counts, also when two workers hold both",
        act=_shuffled,
        least_s=8,
        most_s=20,
        touches=frozenset({"rabbitmq"}),
        mixes=False,
    ),
    Nemesis(
        name="poison",
        does="unreadable messages among good ones",
        promises="parked for an operator, never failed by guess; the good ones pass",
        act=_poisoned,
        # Nobody else has a poison that waits at the broker: it would be lost with the broker's data.
        touches=frozenset({"rabbitmq"}),
        mixes=False,
    ),
)
