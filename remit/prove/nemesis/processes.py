"""Faults of our own processes: killed, stopped in their tracks, replaced one after the other."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from remit.prove.lab import INSTANCES, SERVICES, WORKERS, Lab
from remit.prove.nemesis.base import Nemesis

_STORM_S = 20.0
_LOOKS_MAX = 2_000
_LAST = ("ledger", "audit")
_DEATHS_OF_ALL = 2
# On every answer of PostgreSQL before they die.
_SLOW_S = 0.05


@asynccontextmanager
async def _killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    service = draw.choice(SERVICES)
    n = draw.randint(1, INSTANCES[service])
    await lab.stop(service, signal.SIGKILL, n)
    yield service
    await lab.start(service, n)


@asynccontextmanager
async def _storm(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """A random one every one to five seconds; each is started again at once."""
    end_s = asyncio.get_running_loop().time() + _STORM_S
    deaths = 0
    while asyncio.get_running_loop().time() < end_s:
        async with _killed(lab, draw):
            deaths += 1
        await asyncio.sleep(draw.uniform(1, 5))
    yield f"{deaths} deaths"


@asynccontextmanager
async def _workers_killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """As when the power of their machine fails. PostgreSQL is slow just then for those at the end of the way, so that
    they die with a batch in hand: what they lose nobody asks for again."""
    for _ in range(_DEATHS_OF_ALL):
        for service in _LAST:
            lab.proxy(service, "postgres").delay_s = _SLOW_S
        await asyncio.sleep(draw.uniform(0.5, 1.5))
        await asyncio.gather(*(lab.stop(service, signal.SIGKILL) for service in WORKERS))
        for service in _LAST:
            lab.proxy(service, "postgres").delay_s = 0.0
        await asyncio.gather(*(lab.start(service) for service in WORKERS))
    yield f"all, {_DEATHS_OF_ALL} times"


@asynccontextmanager
async def _gateways_killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """One after the other, each with calls open; their clients turn to the one that is there."""
    for place in draw.sample(range(INSTANCES["gateway"]), INSTANCES["gateway"]):
        await lab.stop("gateway", signal.SIGKILL, place + 1)
        await lab.start("gateway", place + 1)
    yield "each once"


@asynccontextmanager
async def _stopped(lab: Lab, draw: Random) -> AsyncIterator[str]:
    service = draw.choice(SERVICES)
    lab.signal(service, signal.SIGSTOP)
    yield service
    lab.signal(service, signal.SIGCONT)


@asynccontextmanager
async def _stopped_with_locks(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """The worker stands still between its locks and its COMMIT, and holds them."""
    service = draw.choice(("transfer", "fraud"))
    held = False
    for _ in range(_LOOKS_MAX):
        lab.signal(service, signal.SIGSTOP)
        if held := await _holds_locks(lab, service):
            break
        lab.signal(service, signal.SIGCONT)
        await asyncio.sleep(draw.uniform(0.001, 0.01))
    yield f"{service}, {'with' if held else 'without'} locks"
    lab.signal(service, signal.SIGCONT)


async def _holds_locks(lab: Lab, service: str) -> bool:
    # Row locks are not listed; the lock on the table that comes with the first of them is.
    found = await lab.owner.fetchval(
        """
        SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE usename = $1 AND mode = 'RowShareLock' AND granted
           AND relation IN ('transfer.accounts'::regclass, 'fraud.users'::regclass)
        """,
        f"remit_{service}",
    )
    return bool(found)


@asynccontextmanager
async def _rolled(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """What a deployment does: each instance ends by SIGTERM and is started again, one after the other."""
    order = [(service, n + 1) for service in SERVICES for n in range(INSTANCES[service])]
    draw.shuffle(order)
    for service, n in order:
        await lab.stop(service, signal.SIGTERM, n)
        await lab.start(service, n)
    yield f"{len(order)} instances"


@asynccontextmanager
async def _doubled(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """A second worker of each kind comes, works beside the first, and goes."""
    for service in WORKERS:
        await lab.start(service, 2)
    yield "2 of each worker"
    for service in WORKERS:
        await lab.stop(service, n=2)


NEMESES = (
    Nemesis(
        name="kill",
        does="SIGKILL of one service, drawn; started again after the hold",
        promises="its unacknowledged input comes again and changes nothing twice",
        act=_killed,
        least_s=0,
        most_s=5,
    ),
    Nemesis(
        name="kill storm",
        does=f"SIGKILL of a random service every 1 to 5 s, for {_STORM_S:.0f} s",
        promises="the same, over and over",
        act=_storm,
        mixes=False,
    ),
    Nemesis(
        name="workers killed",
        does=f"SIGKILL of all workers at the same instant, some with slow batches in hand, {_DEATHS_OF_ALL} times over",
        promises="what each had in hand comes again, and changes nothing twice",
        act=_workers_killed,
        mixes=False,
    ),
    Nemesis(
        name="gateways killed",
        does="SIGKILL of each gateway with calls open, one after the other",
        promises="another takes over its keys at once; what it had accepted ends",
        act=_gateways_killed,
        mixes=False,
    ),
    Nemesis(
        name="freeze",
        does="SIGSTOP of one service, drawn; SIGCONT after the hold",
        promises="others take over what it holds; its late acknowledgements are worth nothing",
        act=_stopped,
        least_s=5,
        most_s=90,
    ),
    Nemesis(
        name="freeze with locks",
        does="SIGSTOP of a worker that holds row locks in an open transaction",
        promises="whoever needs the rows retries; nothing is failed that could be settled",
        act=_stopped_with_locks,
        least_s=5,
        most_s=90,
    ),
    Nemesis(
        name="rolling restart",
        does="SIGTERM and a new start of every instance, one after the other",
        promises="batches end before their worker does; clients that retry see no error",
        act=_rolled,
        mixes=False,
    ),
    Nemesis(
        name="second workers",
        does="a second worker of each kind joins and leaves",
        promises="two workers never settle the same transfer, nor wait for each other for ever",
        act=_doubled,
        least_s=5,
        most_s=15,
        mixes=False,
    ),
)
