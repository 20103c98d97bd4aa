"""Campaigns of `remit prove` over servers of a test's own, through a course of faults that the test lays down."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from remit.invariants import Status
from remit.prove import campaign
from remit.prove.campaign import Outcome, Plan
from remit.prove.history import ENDED, Fate, History
from remit.prove.lab import Lab
from remit.prove.nemesis import NEMESES, Nemesis
from tests.support.waiting import eventually

_CLIENTS = 16
_WORKS_WITHIN_S = 60.0
# So many transfers that end say that it works.
_WORKS = 50


@dataclass(frozen=True, kw_only=True)
class _Elsewhere(Plan):
    """A plan whose lab uses servers that are not its own."""

    addresses: Mapping[str, str]

    @property
    def settings(self) -> Mapping[str, str]:
        return {**super().settings, **self.addresses}


@dataclass(kw_only=True)
class Faults:
    """The faults of one course, with their times."""

    lab: Lab
    # Name, begin, end, by the monotonic clock.
    met: list[tuple[str, float, float]] = field(default_factory=list)

    @asynccontextmanager
    async def fault(self, name: str) -> AsyncIterator[None]:
        """What the block does is this fault, from the first blow to the last repair; it works before and after."""
        await self.works()
        begun_s = time.monotonic()
        yield
        await self.works()
        self.met.append((name, begun_s, time.monotonic()))

    async def works(self) -> None:
        """Returns once transfers end."""
        # Never none: the clients' opening deposits are among them.
        first = await eventually(self._ended, timeout_s=_WORKS_WITHIN_S)

        async def more() -> bool:
            return await self._ended() >= first + _WORKS

        await eventually(more, timeout_s=_WORKS_WITHIN_S)

    async def _ended(self) -> int:
        """How many transfers there are; 0 while the database does not say."""
        try:
            return int(await self.lab.owner.fetchval("SELECT count(*) FROM transfer.transactions"))
        except Exception:  # noqa: BLE001 - the database may be what is hurt
            return 0


Course = Callable[[Faults], Awaitable[None]]


async def survived(
    course: Course, addresses: Mapping[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Outcome:
    """A campaign's clients at work while the faults of `course` come; then everything is judged, and all of it held."""
    met: list[tuple[str, float, float]] = []

    @asynccontextmanager
    async def act(lab: Lab, draw: Random) -> AsyncIterator[str]:
        faults = Faults(lab=lab, met=met)
        await course(faults)
        yield "as the test says"

    nemesis = Nemesis(name=course.__name__, does="", promises="", act=act, mixes=False)
    monkeypatch.setitem(NEMESES, nemesis.name, nemesis)
    plan = _Elsewhere(
        seed=1, duration_s=1.0, clients=_CLIENTS, nemeses=(nemesis.name,), logs=folder / "logs", addresses=addresses
    )
    outcome = await campaign.run(plan, print)
    _tell(outcome, met)
    broken = [(r.name, r.figure, r.detail[:3]) for r in outcome.results if r.status is not Status.OK]
    assert outcome.ok, broken
    return outcome


def _tell(outcome: Outcome, met: list[tuple[str, float, float]]) -> None:
    fates = outcome.history.by_fate()
    for name, begun_s, ended_s in met:
        silence_s = _longest_silence_s(outcome.history, begun_s, ended_s)
        print(f"{name}: {ended_s - begun_s:.1f} s, longest silence {silence_s:.1f} s")
    print(
        f"{sum(fates.values()):,} transfers, {fates[Fate.COMPLETED]:,} completed, {fates[Fate.REFUSED]:,} refused; "
        f"answers {dict(sorted(outcome.history.answers.items()))}"
    )


def _longest_silence_s(history: History, begun_s: float, ended_s: float) -> float:
    """The longest time in which no client was told the end of a transfer."""
    told = [t.known_s for t in history.items.values() if t.fate in ENDED and t.known_s is not None]
    moments = sorted([begun_s, *(one for one in told if begun_s < one < ended_s), ended_s])
    return max(later - earlier for earlier, later in pairwise(moments))
