"""Faults of Redis: killed, paused, emptied, full, short of memory."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from remit.prove.lab import Lab
from remit.prove.nemesis.base import Nemesis

_REDIS = frozenset({"redis"})


@asynccontextmanager
async def _killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.stop_server("redis", signal.SIGKILL)
    yield "redis"
    await lab.start_server("redis")


@asynccontextmanager
async def _paused(lab: Lab, draw: Random) -> AsyncIterator[str]:
    lab.signal("redis", signal.SIGSTOP)
    yield "redis"
    lab.signal("redis", signal.SIGCONT)


@asynccontextmanager
async def _flushed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    times = draw.randint(1, 3)
    for _ in range(times):
        async with lab.redis() as client:
            await client.flushall()
        await asyncio.sleep(draw.uniform(0.5, 3))
    yield f"{times} times"


@asynccontextmanager
async def _full(lab: Lab, draw: Random) -> AsyncIterator[str]:
    async with lab.redis() as client:
        await client.config_set("maxmemory", "1mb")
    yield "maxmemory 1 MiB"
    async with lab.redis() as client:
        await client.config_set("maxmemory", "0")


@asynccontextmanager
async def _short(lab: Lab, draw: Random) -> AsyncIterator[str]:
    share = draw.uniform(0.8, 0.9)
    async with lab.redis() as client:
        used = int((await client.info("memory"))["used_memory"])
        await client.config_set("maxmemory", str(int(used / share)))
    yield f"{share:.0%} of it in use"
    async with lab.redis() as client:
        await client.config_set("maxmemory", "0")


NEMESES = (
    Nemesis(
        name="redis killed",
        does="SIGKILL of Redis; started again on its append-only file",
        promises="503 within a second; what was accepted goes on without it",
        act=_killed,
        least_s=1,
        most_s=10,
        touches=_REDIS,
    ),
    Nemesis(
        name="redis frozen",
        does="SIGSTOP of Redis",
        promises="503 within a second; nothing is decided from a guess",
        act=_paused,
        least_s=2,
        most_s=15,
        touches=_REDIS,
    ),
    Nemesis(
        name="redis flushed",
        does="FLUSHALL, up to three times, in the middle of requests",
        promises="PostgreSQL still knows every key; gateways register again what they hold",
        act=_flushed,
        touches=_REDIS,
    ),
    Nemesis(
        name="redis full",
        does="no memory left in Redis (noeviction)",
        promises="new calls are refused before they begin; nothing is evicted",
        act=_full,
        least_s=3,
        most_s=10,
        touches=_REDIS,
    ),
    Nemesis(
        name="redis short",
        does="so little memory for Redis that answers are kept for seconds, not for a day",
        promises="a replay is answered from the row, in the same bytes",
        act=_short,
        least_s=8,
        most_s=20,
        touches=_REDIS,
    ),
)
