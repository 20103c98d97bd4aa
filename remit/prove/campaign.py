"""One campaign from start to end: a lab, its people, clients at work, faults, quiet, the checks."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from uuid import UUID, uuid4

import httpx
import msgspec

from remit.invariants import Result, Status, check_all, worst
from remit.prove import checks
from remit.prove.checks import Limits
from remit.prove.clients import Bank, Caller, Worker, client_of, repeat, resolve
from remit.prove.history import History
from remit.prove.lab import Lab, open_lab
from remit.prove.people import populate, probe
from remit.prove.schedule import Planned, Step, steps
from remit.prove.workload import Client, Intent, Population

# What an accepted transfer may take after the last fault is healed (the promise that is checked).
END_WITHIN_S = 30.0
_BOOKS_WITHIN_S = 60.0
_TOGETHER = 16
# How many ended keys are asked for once more in the end: after every wipe, the same bytes.
_REPEATED_MAX = 1_000
# Of these, how many are asked for otherwise.
_ALTERED_MAX = 100
_POPULATION = Population(customers=10, accounts_each=2, rich=frozenset({1, 2}))
# The first customer makes a quarter of the calls; this stops him in the middle of a campaign.
_COUNT_A_MINUTE = 1_000

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do, by one seed. Seconds."""

    seed: int
    duration_s: float
    clients: int
    nemeses: Sequence[str]
    # So many faults there are, however long they take: as many as nemeses, and each has been there once.
    faults_min: int = 0
    # Where to put the lab's logs if something does not hold.
    logs: Path
    # What shows that the checks find what they are there for: settings that put a bug into every service, and
    # statements that take a net away before any service starts. A campaign that proves anything has neither.
    planted: Mapping[str, str] = field(default_factory=dict)
    damage: Sequence[str] = ()
    # Whether the books, which take their time, are left unread where what clients were told has shown a breach.
    one_breach_will_do: bool = False
    # What an accepted transfer may take after the last fault, and the books to agree once all has ended: what is
    # missing then is lost.
    end_within_s: float = END_WITHIN_S
    books_within_s: float = _BOOKS_WITHIN_S

    @property
    def limits(self) -> Limits:
        """The limits that the lab's users have."""
        count = int(_COUNT_A_MINUTE * max(1.0, self.duration_s / 60))
        return Limits(
            max_minor=100_000_000, max_daily_minor=500_000_000, max_hourly_count=count, max_daily_count=2 * count
        )

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the lab's services: one machine sends what a thousand would."""
        limits = self.limits
        return {
            # Faults are done to processes of this machine.
            "REMIT_INFRA": "local",
            "REMIT_GATEWAY_IP_RATE_LIMIT": "off",
            "REMIT_GATEWAY_JWT_TTL_S": "86400",
            "REMIT_FRAUD_MAX_HOURLY_COUNT": str(limits.max_hourly_count),
            "REMIT_FRAUD_MAX_DAILY_COUNT": str(limits.max_daily_count),
        }


class Met(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that was survived, or not. Seconds from the campaign's start; `recovery_s` from healing to a 201."""

    name: str
    whom: str
    together_with: Sequence[str]
    at_s: float
    healed_s: float
    recovery_s: float


@dataclass(kw_only=True)
class Outcome:
    """What a campaign showed."""

    plan: Plan
    met: list[Met] = field(default_factory=list)
    # Instances that did not run when all faults were healed, each once.
    fallen: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    history: History = field(default_factory=History)
    work_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether everything held."""
        return bool(self.results) and worst(self.results) is Status.OK


async def run(plan: Plan, tell: Tell) -> Outcome:
    """The whole campaign.

    Raises:
        StackError: the lab could not be started, or what a fault hurt could not be healed.
    """
    outcome = Outcome(plan=plan)
    tell("starting a private stack")
    lab_of_plan = open_lab(plan.settings, planted=plan.planted, damage=plan.damage)
    async with lab_of_plan as lab, AsyncExitStack() as exits:
        gateways = [await exits.enter_async_context(client_of(url)) for url in lab.gateway_urls()]
        bank, opening, own = await populate(gateways[0], lab.env, _POPULATION)
        campaign = _Campaign(plan, lab, bank, gateways, outcome, tell)
        try:
            await campaign.work()
            await campaign.judge(opening, own)
        finally:
            if not outcome.ok:
                shutil.copytree(lab.stack.layout.logs, plan.logs, dirs_exist_ok=True)
                tell(f"the logs of the lab are in {plan.logs}")
    return outcome


class _Campaign:
    def __init__(
        self, plan: Plan, lab: Lab, bank: Bank, gateways: Sequence[httpx.AsyncClient], outcome: Outcome, tell: Tell
    ) -> None:
        self._plan = plan
        self._lab = lab
        self._bank = bank
        self._gateways = gateways
        self._outcome = outcome
        self._tell = tell
        self._caller = Caller(gateways, bank, outcome.history)
        self._begun_s = time.monotonic()
        # The transfers by which recovery is seen.
        self._probes: list[UUID] = []

    async def work(self) -> None:
        """Clients and faults, until the time is up and all is healed."""
        stop = asyncio.Event()
        history = self._outcome.history
        clients = [Client(self._plan.seed, n, _POPULATION) for n in range(self._plan.clients)]
        self._begun_s = time.monotonic()
        at_work = [asyncio.create_task(Worker(client, self._caller, history, stop).run()) for client in clients]
        try:
            await self._break_things()
        finally:
            stop.set()
            await asyncio.gather(*at_work)
        self._outcome.work_s = self._elapsed_s()

    async def _break_things(self) -> None:
        schedule = steps(self._plan.seed, self._plan.nemeses)
        while self._elapsed_s() < self._plan.duration_s or len(self._outcome.met) < self._plan.faults_min:
            await self._step(schedule.next())

    async def _step(self, step: Step) -> None:
        await asyncio.sleep(step.calm_s)
        at_s, whom = self._elapsed_s(), dict[str, str]()
        async with AsyncExitStack() as faults:
            # What servers suffer comes last and is healed first: a service is ready only when its servers are.
            for planned in sorted(step.faults, key=lambda one: bool(one.nemesis.touches)):
                name = planned.nemesis.name
                whom[name] = await faults.enter_async_context(_entered(planned, self._lab))
            self._tell(f"{at_s:6.1f} s  " + " + ".join(f"{name} ({who})" for name, who in whom.items()))
            await asyncio.sleep(max(planned.hold_s for planned in step.faults))
        healed_s = self._elapsed_s()
        recovery_s = await self._recovery()
        self._outcome.fallen += [one for one in self._lab.fallen() if one not in self._outcome.fallen]
        for name, who in whom.items():
            others = [other for other in whom if other != name]
            self._outcome.met.append(
                Met(name=name, whom=who, together_with=others, at_s=at_s, healed_s=healed_s, recovery_s=recovery_s)
            )

    async def _recovery(self) -> float:
        """Seconds until a fresh transfer, asked again and again, is completed: the time a client must be patient."""
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < END_WITHIN_S:
            key = str(uuid4())
            transfer_id, done = await probe(self._gateways[len(self._probes) % len(self._gateways)], self._bank, key)
            self._probes.append(transfer_id)
            if done:
                break
            await asyncio.sleep(0.1)
        return time.monotonic() - begun_s

    async def judge(self, opening: Mapping[UUID, int], own: Sequence[UUID]) -> None:
        """Quiet, then every check."""
        lab, bank, history, results = self._lab, self._bank, self._outcome.history, self._outcome.results
        self._tell("quiet: asking for what is open, then checking the books")
        within_s = self._plan.end_within_s
        recoveries = [(met.name, met.recovery_s) for met in self._outcome.met]
        results.append(checks.works_again(recoveries, self._outcome.fallen, END_WITHIN_S))
        results.append(await checks.no_trace(lab, history))
        results.append(await checks.ended_unasked(lab, history, within_s))
        seconds = await resolve(self._caller, history, within_s=within_s, together=_TOGETHER)
        results.append(checks.all_ended(history, seconds, within_s))
        await repeat(self._caller, history, self._sample(), together=_TOGETHER, altered_max=_ALTERED_MAX)
        results.append(checks.contradictions(history))
        results.append(await checks.told_is_booked(lab, bank, history, (*own, *self._probes)))
        results.append(await checks.balances_add_up(lab, bank, history, opening))
        results.append(await checks.limits_held(lab, self._plan.limits))
        results.append(await checks.no_deadlocks(lab))
        results.append(await checks.one_verdict(lab))
        if not (self._plan.one_breach_will_do and worst(results) is Status.BREACH):
            results += await self._books()

    async def _books(self) -> list[Result]:
        """The invariants of `remit verify`, and the broker, once nothing is on its way any more."""
        within_s = self._plan.books_within_s
        deadline_s = time.monotonic() + within_s
        # What is older than the patience, when that is over, was not on its way.
        environment = {**self._lab.env, "REMIT_LEDGER_MAX_LAG_S": str(within_s)}
        while True:
            results = [
                await checks.planted_alone_is_parked(self._lab),
                await checks.queues_empty(self._lab),
                *await check_all(environment),
            ]
            if worst(results) is Status.OK or time.monotonic() > deadline_s:
                return results
            await asyncio.sleep(1.0)

    def _sample(self) -> list[Intent]:
        history = self._outcome.history
        keys = sorted(key for key in history.calls if history.ended(key))
        draw = Random(f"{self._plan.seed} repeats")  # noqa: S311 - a schedule that repeats, no secret
        return [history.calls[key].intent for key in draw.sample(keys, min(_REPEATED_MAX, len(keys)))]

    def _elapsed_s(self) -> float:
        return time.monotonic() - self._begun_s


def _entered(planned: Planned, lab: Lab) -> AbstractAsyncContextManager[str]:
    return planned.nemesis.act(lab, Random(planned.seed))  # noqa: S311 - a schedule that repeats, no secret
