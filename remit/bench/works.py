"""The works that are measured by name, and the doing of one."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from remit.bench.booking import Booked, Watch, booked_since, now, watching
from remit.bench.lab import Batches, Lab
from remit.bench.load import Measured, Plan, Template
from remit.bench.population import Population
from remit.bench.processes import Usage, machine_cpu_s, usage_of
from remit.errors import EXIT_USAGE, CommandError

CONNECTIONS = 128
BATCH_CONNECTIONS = 8
_MEMORY_EVERY_S = 1.0
_QUIET_EVERY_S = 0.2
# As long without one more row means that nothing is on its way.
_QUIET_S = 0.6
_QUIET_TIMEOUT_S = 120.0
# All processes together, while nothing is asked of them, take less than a tenth of a core. Longer than the minute after
# which reconcilers look again.
_REST_S = 65.0
_REST_CORES = 0.15
_REST_TIMEOUT_S = 600.0
# Above what the generator itself waits for open requests.
_LOAD_TIMEOUT_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Work:
    """One way to use Remit. Without `share` of the peak the loop is closed."""

    name: str
    does: str
    connections: int
    kind: str = "single"
    is_hot: bool = False
    share: float | None = None

    def templates(self, population: Population) -> list[Template]:
        """The requests."""
        make = {
            "single": population.singles,
            "batch": population.batches,
            "operator": population.operator_batches,
        }[self.kind]
        return make(is_hot=self.is_hot)


# What is compared stands side by side: the minute after the first batches belongs to the reconcilers and to vacuuming.
_LISTED = (
    Work(name="single", does="single transfers, 128 connections", connections=CONNECTIONS),
    Work(name="hot", does="single transfers, 9 of 10 into one account", connections=CONNECTIONS, is_hot=True),
    Work(name="half", does="single transfers, open loop at half the peak", connections=CONNECTIONS, share=0.5),
    Work(name="idle", does="one connection, idle system", connections=1),
    Work(name="batch", does="batches of 500, 8 connections", connections=BATCH_CONNECTIONS, kind="batch"),
    Work(
        name="hot-batch",
        does="batches of 500, 9 of 10 transfers into one account",
        connections=BATCH_CONNECTIONS,
        kind="batch",
        is_hot=True,
    ),
    Work(
        name="operator",
        does="an operator's batches of 500 for as many payers, 8 connections",
        connections=BATCH_CONNECTIONS,
        kind="operator",
    ),
)
WORKS: Mapping[str, Work] = {work.name: work for work in _LISTED}
# Not a work of its own: the same as `half`, for as long as it takes to see memory grow.
SOAK = Work(name="soak", does="half the peak for a long time", connections=CONNECTIONS, share=0.5)


@dataclass(frozen=True, kw_only=True)
class Done:
    """One work, done: as clients saw it, as the books show it, and what it cost.

    CPU in seconds, and memory in bytes every second while the load went on, by process; `elsewhere_share` is what
    processes of others took of the machine's cores meanwhile.
    """

    work: Work
    rate: float | None
    measured: Measured
    booked: Booked
    cpu_s: Mapping[str, float]
    memory: Mapping[str, Sequence[int]]
    batches: Mapping[str, Batches]
    elsewhere_share: float


async def do(lab: Lab, population: Population, work: Work, seconds: float, rate: float | None = None) -> Done:
    """Runs one work and waits until all of it is booked.

    Raises:
        CommandError: the generator failed, or the books did not come to rest.
    """
    plan = Plan(
        url=lab.env["REMIT_API_URL"],
        templates=await asyncio.to_thread(work.templates, population),
        connections=work.connections,
        duration_s=seconds,
        rate=rate,
    )
    # Before anything is measured: the requests are some megabytes.
    encoded = await asyncio.to_thread(msgspec.json.encode, plan)
    before, begun = await lab.batches(), await now(lab.owner)
    async with watching(lab.owner) as watch, _costing(lab) as costs:
        measured = await _generate(plan, encoded)
        await settle_down(lab)
    after = await lab.batches()
    return Done(
        work=work,
        rate=rate,
        measured=measured,
        booked=await _whole(lab, begun, watch),
        cpu_s={**costs.cpu_s, "generator": measured.cpu_s},
        memory=costs.memory,
        batches={queue: added for queue, found in after.items() if (added := found.since(before.get(queue))).count},
        elsewhere_share=costs.elsewhere_share(measured.cpu_s),
    )


async def _whole(lab: Lab, begun: datetime, watch: Watch) -> Booked:
    """Judged once all is booked, or has been given the time for it: a stall may have looked like rest."""
    deadline_s = time.monotonic() + _QUIET_TIMEOUT_S
    while True:
        booked = await booked_since(lab.owner, begun, watch)
        if booked.missing == 0 or time.monotonic() > deadline_s:
            return booked
        await settle_down(lab)
        await watch.sample(lab.owner)


async def load(plan: Plan) -> Measured:
    """The generator, in a process of its own, for a plan that nobody measures.

    Raises:
        CommandError: it failed.
    """
    return await _generate(plan, await asyncio.to_thread(msgspec.json.encode, plan))


async def _generate(plan: Plan, encoded: bytes) -> Measured:
    """The generator, told what it is to do.

    Raises:
        CommandError: it failed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "remit.bench.load", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(plan.duration_s + _LOAD_TIMEOUT_S):
            answer, _ = await process.communicate(encoded)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandError(f"the load generator ended with exit code {process.returncode}")
    return msgspec.json.decode(answer, type=Measured)


async def settle_down(lab: Lab) -> None:
    """Returns when the gateways wait for nothing, and no entry and no audit row has been added for a while.

    Raises:
        CommandError: that never came.
    """
    deadline_s, booked, since_s = time.monotonic() + _QUIET_TIMEOUT_S, -1.0, time.monotonic()
    while time.monotonic() - since_s < _QUIET_S:
        if time.monotonic() > deadline_s:
            raise CommandError(f"not all is booked {_QUIET_TIMEOUT_S:.0f} s after the load")
        if (found := await lab.booked()) != booked or await lab.held():
            booked, since_s = found, time.monotonic()
        await asyncio.sleep(_QUIET_EVERY_S)


async def at_rest(lab: Lab) -> bool:
    """Whether also what follows a load by itself has ended, which is waited for: reconcilers compare, PostgreSQL
    vacuums, each at its own pace and in minutes."""
    pids, deadline_s = lab.pids(), time.monotonic() + _REST_TIMEOUT_S
    while time.monotonic() < deadline_s:
        before_s = _cpu_s(pids)
        await asyncio.sleep(_REST_S)
        if _cpu_s(pids) - before_s < _REST_S * _REST_CORES:
            return True
    return False


def _cpu_s(pids: Mapping[str, int]) -> float:
    return sum(usage.cpu_s for usage in usage_of(pids).values())


@dataclass
class _Costs:
    before: Mapping[str, Usage]
    machine_before_s: float
    own_before_s: float
    began_s: float = field(default_factory=time.monotonic)
    cpu_s: dict[str, float] = field(default_factory=dict)
    memory: dict[str, list[int]] = field(default_factory=dict)
    machine_s: float = 0.0
    took_s: float = 0.0

    def see(self, found: Mapping[str, Usage]) -> None:
        for name, usage in found.items():
            self.cpu_s[name] = usage.cpu_s - self.before[name].cpu_s
            self.memory.setdefault(name, []).append(usage.memory)
        # This process looks at the books meanwhile; that is a cost, too, and named.
        self.cpu_s["observer"] = time.process_time() - self.own_before_s
        self.machine_s = machine_cpu_s() - self.machine_before_s
        self.took_s = time.monotonic() - self.began_s

    def elsewhere_share(self, generator_s: float) -> float:
        """Of all cores, what nobody here took."""
        ours = sum(self.cpu_s.values()) + generator_s
        return max(0.0, self.machine_s - ours) / (self.took_s * (os.cpu_count() or 1))


@asynccontextmanager
async def _costing(lab: Lab) -> AsyncIterator[_Costs]:
    pids = lab.pids()
    costs = _Costs(usage_of(pids), machine_cpu_s(), time.process_time())
    task = asyncio.create_task(_watch_costs(costs, pids), name="costs")
    try:
        yield costs
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    costs.see(usage_of(pids))


async def _watch_costs(costs: _Costs, pids: Mapping[str, int]) -> None:
    while True:
        await asyncio.sleep(_MEMORY_EVERY_S)
        costs.see(usage_of(pids))


def chosen(names: Sequence[str]) -> list[Work]:
    """The works of these names, each once, in the order in which they are listed.

    Raises:
        CommandError: there is no such work.
    """
    if unknown := [name for name in names if name not in WORKS]:
        raise CommandError(f"no such work: {', '.join(unknown)} (`remit bench --list`)", EXIT_USAGE)
    return [work for work in WORKS.values() if work.name in names]
