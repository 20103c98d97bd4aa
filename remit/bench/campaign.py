"""One run from start to end: a lab, pgbench while it is idle, customers, the works, the books."""

from __future__ import annotations

import asyncio
import os
import time

from remit.bench import pgbench
from remit.bench.extras import do_extras
from remit.bench.lab import SERVERS, SERVICES, Lab, open_lab
from remit.bench.pgbench import Baseline
from remit.bench.population import populate
from remit.bench.processes import peak_of
from remit.bench.report import Report, Timing, report_of
from remit.bench.runs import Plan, Run, Tell
from remit.bench.works import WORKS, do, settle_down
from remit.errors import CommandError
from remit.invariants import Result, Status, check_all, worst

_WARM_UP_S = 3.0
_BOOKS_WITHIN_S = 60.0
# The target for ten million transfers; a smaller book has no less.
_BOOK_TARGET_S = 60.0


async def run(plan: Plan, tell: Tell) -> Report:
    """The whole run.

    Raises:
        StackError: the lab could not be started.
        CommandError: the load generator or pgbench failed, or the books did not come to rest.
    """
    load_average = os.getloadavg()[0]
    tell("starting a private stack")
    async with open_lab() as lab:
        baseline = await _baseline(lab, plan, tell)
        for service in SERVICES:
            await lab.start(service)
        tell(f"bringing in {plan.customers:,} customers")
        under_way = Run(plan, lab, await populate(lab, plan.customers, plan.seed), tell)
        await settle_down(lab)
        before, opened = await under_way.storage(), await under_way.transactions()
        await _warm_up(under_way)
        for work in plan.works:
            await under_way.once(work)
        broken = await _extras(under_way)
        after, made = await under_way.storage(), max(1, await under_way.transactions() - opened)
        checks = await _books(under_way)
        pids = {name: pid for name, pid in lab.pids().items() if name not in SERVERS}
        return report_of(
            customers=plan.customers,
            load_average=load_average,
            pgbench=baseline,
            works=under_way.works,
            timings=under_way.timings,
            storage={schema: (size - before.get(schema, 0)) / made for schema, size in after.items()},
            peak={name: peak_of(pid) for name, pid in pids.items()},
            checks=checks,
            broken=broken,
        )


async def _baseline(lab: Lab, plan: Plan, tell: Tell) -> Baseline | None:
    if not plan.with_pgbench:
        return None
    program = await asyncio.to_thread(pgbench.find)
    if program is None:
        tell("pgbench is not installed: there will be no ratios")
        return None
    tell(f"pgbench, scale {pgbench.SCALE}, {plan.seconds:.0f} s")
    baseline = await pgbench.measure(lab, program, plan.seconds)
    tell(f"pgbench: {baseline.transactions_per_s:,.0f} transactions/s")
    return baseline


async def _extras(run: Run) -> str:
    """Why the longer ones were not ended, if they were not: what was measured before is not lost for it."""
    try:
        await do_extras(run)
    except CommandError as error:
        run.tell(f"broken off: {error}")
        return str(error)
    return ""


async def _warm_up(run: Run) -> None:
    run.tell(f"warming up, {_WARM_UP_S:.0f} s")
    await do(run.lab, run.population, WORKS["single"], _WARM_UP_S)


async def _books(run: Run) -> list[Result]:
    """The invariants of `remit verify`, once nothing is on its way any more, and how long they took."""
    run.tell("checking the books")
    deadline_s = time.monotonic() + _BOOKS_WITHIN_S
    while True:
        begun_s = time.monotonic()
        results = await check_all(run.lab.env, strict=True)
        took_s = time.monotonic() - begun_s
        if worst(results) is not Status.CATCHING_UP or time.monotonic() > deadline_s:
            break
    figure = f"{await run.transactions():,} transfers"
    run.timings.append(Timing(what="verify of the book", figure=figure, seconds=took_s, target_s=_BOOK_TARGET_S))
    return results
