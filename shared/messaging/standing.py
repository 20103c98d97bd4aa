"""How queues stand, by what every user of the broker may ask: a passive declaration tells how many messages wait, and
how many consumers there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aio_pika.abc import AbstractChannel

from shared.messaging.connection import BROKER_ERRORS, BrokerUnavailable, Link, losses_named


@dataclass(frozen=True, slots=True)
class Standing:
    """One queue: messages that nobody has been given yet, and consumers."""

    depth: int
    consumers: int


async def standings(link: Link, queues: Iterable[str], *, timeout_s: float) -> Mapping[str, Standing | None]:
    """Each queue as it stands; None where the broker has no such queue.

    Raises:
        BrokerUnavailable: there is no connection now, or it did not answer in time.
    """
    found: dict[str, Standing | None] = {}
    waiting = list(queues)
    try:
        async with asyncio.timeout(timeout_s):
            while waiting:
                # The broker closes the channel on which a queue was asked for that does not exist.
                async with link.channel(confirms=False) as channel:
                    while waiting and not channel.is_closed:
                        queue = waiting.pop()
                        found[queue] = await _standing(channel, queue, timeout_s)
    except BROKER_ERRORS as error:
        raise BrokerUnavailable(f"queues not told: {type(error).__name__}") from error
    return found


async def _standing(channel: AbstractChannel, queue: str, timeout_s: float) -> Standing | None:
    try:
        with losses_named():
            declared = (await channel.declare_queue(queue, passive=True, timeout=timeout_s)).declaration_result
    except BROKER_ERRORS as error:
        if "NOT_FOUND" in str(error):
            return None
        raise
    return Standing(depth=declared.message_count or 0, consumers=declared.consumer_count or 0)
