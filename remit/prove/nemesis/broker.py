"""Faults of the broker: restarted, killed, wiped, refusing, and connections that end however cleanly."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import quote

from remit.prove.lab import SERVICES, Lab
from remit.prove.nemesis.base import Nemesis

_BROKER = frozenset({"rabbitmq"})
_BOTH = frozenset({"rabbitmq", "redis"})
# How long sweepers and gateways are given to hold everything in two places again, once calls are answered.
_PROTECTED_AFTER_S = 8.0
_CLOSES = 4
# How long workers stand still, so that what is published meanwhile waits in their queues.
_STILL_S = 0.7


@asynccontextmanager
async def _restarted(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.stop_server("rabbitmq")
    yield "rabbitmq"
    await lab.start_server("rabbitmq")


@asynccontextmanager
async def _killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.stop_server("rabbitmq", signal.SIGKILL)
    yield "rabbitmq"
    await lab.start_server("rabbitmq")


@asynccontextmanager
async def _wiped(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.wipe_server("rabbitmq")
    yield "rabbitmq"
    await lab.start_server("rabbitmq")


@asynccontextmanager
async def _wiped_full(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """The workers stand still, the last of the way first, so that every queue holds something when all is lost."""
    still = (("ledger", "audit"), ("transfer", "fraud"))
    for services in still:
        for service in services:
            lab.signal(service, signal.SIGSTOP)
        await asyncio.sleep(_STILL_S)
    await lab.wipe_server("rabbitmq")
    for services in still:
        for service in services:
            lab.signal(service, signal.SIGCONT)
    yield "rabbitmq"
    await lab.start_server("rabbitmq")


@asynccontextmanager
async def _both_wiped(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """One loses its data, then, after re-protection, the other."""
    order = draw.choice((("rabbitmq", "redis"), ("redis", "rabbitmq")))
    for place, server in enumerate(order):
        if place:
            await asyncio.sleep(_PROTECTED_AFTER_S)
        if server == "redis":
            async with lab.redis() as client:
                await client.flushall()
        else:
            await lab.wipe_server("rabbitmq")
            await lab.start_server("rabbitmq")
    yield " then ".join(order)


@asynccontextmanager
async def _memory_alarm(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await asyncio.to_thread(lab.stack.servers.control_broker, "set_vm_memory_high_watermark", "0.00001")
    yield "memory"
    await asyncio.to_thread(lab.stack.servers.control_broker, "set_vm_memory_high_watermark", "0.4")


@asynccontextmanager
async def _disk_alarm(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await asyncio.to_thread(lab.stack.servers.control_broker, "set_disk_free_limit", "1000000GB")
    yield "disk"
    await asyncio.to_thread(lab.stack.servers.control_broker, "set_disk_free_limit", "50MB")


@asynccontextmanager
async def _closed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """The administrator closes every connection of one service, four times over, with messages prefetched."""
    service = draw.choice(SERVICES)
    closed = 0
    for _ in range(_CLOSES):
        async with lab.management() as api:
            found = (await api.get("/api/connections")).raise_for_status().json()
            names = [one["name"] for one in found if one.get("user") == f"remit_{service}"]
            for name in names:
                answer = await api.delete(f"/api/connections/{quote(name, safe='')}")
                closed += answer.status_code == 204
        await asyncio.sleep(draw.uniform(1, 3))
    yield f"{service}, {closed} connections"


@asynccontextmanager
async def _silent(lab: Lab, draw: Random) -> AsyncIterator[str]:
    service = draw.choice(SERVICES)
    proxy = lab.proxy(service, "rabbitmq")
    proxy.stall()
    yield service
    proxy.resume()


@asynccontextmanager
async def _cut(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """Connections are reset again and again, in the middle of whatever they carry."""
    service = draw.choice(SERVICES)
    times = draw.randint(3, 8)
    for _ in range(times):
        await lab.proxy(service, "rabbitmq").cut()
        await asyncio.sleep(draw.uniform(0.1, 1.5))
    yield f"{service}, {times} times"


NEMESES = (
    Nemesis(
        name="broker restarted",
        does="clean stop and start of RabbitMQ",
        promises="503 within a second; queues and what is in them are durable",
        act=_restarted,
        least_s=0,
        most_s=5,
        touches=_BROKER,
    ),
    Nemesis(
        name="broker killed",
        does="SIGKILL of RabbitMQ; started again on its data",
        promises="what was confirmed is there; what was not is published again",
        act=_killed,
        least_s=0,
        most_s=5,
        touches=_BROKER,
    ),
    Nemesis(
        name="broker wiped",
        does="SIGKILL of RabbitMQ and removal of its data folder",
        promises="sweepers publish what is pending, reconcilers what rows say and downstream lacks",
        act=_wiped,
        least_s=0,
        most_s=3,
        touches=_BROKER,
    ),
    Nemesis(
        name="broker wiped full",
        does=f"the workers stand still for {_STILL_S:.1f} s, so that queues fill; then RabbitMQ loses all data",
        promises="the same: whatever was in the queues ends, also if nobody asks again",
        act=_wiped_full,
        touches=_BROKER,
        mixes=False,
    ),
    Nemesis(
        name="broker and redis wiped",
        does=f"one of the two loses its data and, {_PROTECTED_AFTER_S:.0f} s after it answers again, the other",
        promises="any one may be lost at any instant, and after re-protection another",
        act=_both_wiped,
        touches=_BOTH,
        mixes=False,
    ),
    Nemesis(
        name="broker memory alarm",
        does="the memory watermark of RabbitMQ is set to nothing: publishers are blocked",
        promises="503 within a second, health says why, recovery by itself",
        act=_memory_alarm,
        least_s=3,
        most_s=12,
        touches=_BROKER,
    ),
    Nemesis(
        name="broker disk alarm",
        does="RabbitMQ wants more free disk than there is: publishers are blocked",
        promises="the same",
        act=_disk_alarm,
        least_s=3,
        most_s=12,
        touches=_BROKER,
    ),
    Nemesis(
        name="connections closed",
        does=f"the administrator closes all connections of one service, {_CLOSES} times, messages prefetched",
        promises="they are delivered again; innocent messages are never dead-lettered for it",
        act=_closed,
        touches=_BROKER,
    ),
    Nemesis(
        name="broker silent",
        does="one service's connections to RabbitMQ carry nothing, and do not end",
        promises="heartbeats and time-outs notice; late answers are worth nothing",
        act=_silent,
        least_s=5,
        most_s=40,
    ),
    Nemesis(
        name="broker connections cut",
        does="one service's connections to RabbitMQ are reset, several times over",
        promises="nothing is acknowledged on a channel that did not deliver it",
        act=_cut,
    ),
)
