"""Faults of PostgreSQL and of the way to it: killed, restarted, sessions ended, COMMITs unanswered, slow, silent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from remit.prove.lab import SERVICES, Lab
from remit.prove.nemesis.base import Nemesis
from shared.database import open_database
from shared.settings import SCHEMA_OWNERS

_POSTGRES = frozenset({"postgres"})
_END_SESSIONS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
     WHERE usename = current_user AND pid <> pg_backend_pid()
"""


@asynccontextmanager
async def _killed(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.stop_server("postgres", signal.SIGQUIT)
    yield "postgres"
    await lab.start_server("postgres")


@asynccontextmanager
async def _restarted(lab: Lab, draw: Random) -> AsyncIterator[str]:
    await lab.stop_server("postgres")
    yield "postgres"
    await lab.start_server("postgres")


@asynccontextmanager
async def _terminated(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """Every session of every service, several times over; each role may end its own."""
    ended = 0
    for _ in range(draw.randint(3, 8)):
        for schema in SCHEMA_OWNERS:
            async with open_database(lab.env[f"REMIT_{schema.upper()}_POSTGRES_URL"], name="remit prove") as own:
                ended += await own.fetchval(_END_SESSIONS)
        await asyncio.sleep(draw.uniform(0.05, 0.5))
    yield f"{ended} sessions"


@asynccontextmanager
async def _commits_unanswered(lab: Lab, draw: Random) -> AsyncIterator[str]:
    """The transaction is committed, and the worker hears only that its connection is gone."""
    service = draw.choice(SERVICES)
    proxy = lab.proxy(service, "postgres")
    before = proxy.commits_cut
    proxy.commits_to_cut = draw.randint(3, 8)
    yield service
    proxy.commits_to_cut = 0
    if service != "gateway" and proxy.commits_cut == before:
        raise RuntimeError(f"no COMMIT of {service} came by")


@asynccontextmanager
async def _slow(lab: Lab, draw: Random) -> AsyncIterator[str]:
    service = draw.choice(SERVICES)
    proxy = lab.proxy(service, "postgres")
    proxy.delay_s = draw.uniform(0.02, 0.2)
    yield f"{service}, {proxy.delay_s * 1000:.0f} ms an answer"
    proxy.delay_s = 0.0


@asynccontextmanager
async def _silent(lab: Lab, draw: Random) -> AsyncIterator[str]:
    service = draw.choice(SERVICES)
    proxy = lab.proxy(service, "postgres")
    proxy.stall()
    yield service
    proxy.resume()


NEMESES = (
    Nemesis(
        name="postgres killed",
        does="immediate shutdown of PostgreSQL (SIGQUIT): crash recovery at the next start",
        promises="what was committed is there, what was not is tried again; nothing fails",
        act=_killed,
        least_s=1,
        most_s=10,
        touches=_POSTGRES,
    ),
    Nemesis(
        name="postgres restarted",
        does="fast shutdown and start of PostgreSQL",
        promises="workers wait; nothing fails because a server is down",
        act=_restarted,
        least_s=1,
        most_s=5,
        touches=_POSTGRES,
    ),
    Nemesis(
        name="sessions ended",
        does="pg_terminate_backend of all sessions, several times over",
        promises="each batch is tried again, whole",
        act=_terminated,
        touches=_POSTGRES,
    ),
    Nemesis(
        name="commit unanswered",
        does="the connection is cut after COMMIT has reached PostgreSQL, before its answer",
        promises="the next try finds the rows and changes nothing",
        act=_commits_unanswered,
        least_s=5,
        most_s=10,
        touches=_POSTGRES,
    ),
    Nemesis(
        name="postgres slow",
        does="20 to 200 ms on every answer to one service",
        promises="larger batches, later answers, the same sums",
        act=_slow,
        least_s=5,
        most_s=15,
    ),
    Nemesis(
        name="postgres silent",
        does="one service's connections to PostgreSQL carry nothing, and do not end",
        promises="time-outs; the work goes on when it does",
        act=_silent,
        least_s=5,
        most_s=20,
    ),
)
