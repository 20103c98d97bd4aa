"""What takes longer than the usual works: a full book, more workers, half an hour at half load, a million entries."""

from __future__ import annotations

import statistics
import time
from uuid import UUID

from remit.bench.booking import SQL, look
from remit.bench.load import Plan as Load
from remit.bench.report import Timing
from remit.bench.runs import Run
from remit.bench.works import BATCH_CONNECTIONS, SOAK, WORKS, Work, at_rest, load, settle_down
from remit.client.client import open_client
from remit.client.http import Credentials
from remit.errors import CommandError

# Besides one of each, which every run has.
_WORKERS = (("transfer", 2), ("transfer", 3), ("fraud", 2))
_FILL_S = 20.0
_FILL_ROUNDS_MAX = 2_000
_VERIFY_TIMES = 3
_ENTRIES_TARGET_S = 1.0


async def do_extras(run: Run) -> None:
    """Those that were asked for, the quick ones first, on a book that grows."""
    if run.plan.with_workers:
        await _workers(run)
    if run.plan.soak_minutes:
        await run.do(SOAK, seconds=run.plan.soak_minutes * 60)
    if run.plan.book:
        await _full_book(run)
    if run.plan.entries:
        await _many_entries(run)
    if run.plan.verify_book:
        await fill(run, run.plan.verify_book)


async def _workers(run: Run) -> None:
    pair = (WORKS["single"], WORKS["batch"])
    for work in pair:
        await run.once(work)
    for service, count in _WORKERS:
        while run.lab.instances[service] < count:
            await run.lab.start(service)
        for work in pair:
            await run.do(work, f"{count} {service} workers")
        while run.lab.instances[service] > 1:
            await run.lab.stop(service)


async def _full_book(run: Run) -> None:
    pair = (WORKS["single"], WORKS["batch"])
    for work in pair:
        await run.once(work)
    await fill(run, run.plan.book)
    # Of a book that came to be in days, not in half an hour, the minute after its last transfer is over.
    run.tell("waiting for reconcilers and vacuuming")
    if not await at_rest(run.lab):
        run.tell("they have not ended; what follows is measured beside them")
    for work in pair:
        await run.do(work, f"after {run.plan.book:,} transfers")


async def fill(run: Run, transfers: int) -> None:
    """Makes transfers until so many are on the book. They take the way of all others: batches over HTTP.

    Raises:
        CommandError: the book does not grow.
    """
    on_book = await run.transactions()
    for _ in range(_FILL_ROUNDS_MAX):
        if on_book >= transfers:
            return
        run.tell(f"filling the book: {on_book:,} of {transfers:,} transfers")
        answers = await _pour(run, WORKS["operator"])
        before, on_book = on_book, await run.transactions()
        if on_book == before:
            raise CommandError(f"the book does not grow beyond {on_book:,} transfers; answers: {answers}")
    raise CommandError(f"the book has only {on_book:,} transfers after {_FILL_ROUNDS_MAX:,} rounds")


async def _many_entries(run: Run) -> None:
    account, entries = run.population.hot_account, 0
    for _ in range(_FILL_ROUNDS_MAX):
        before, [row] = entries, await look(run.lab.owner, SQL.entries_of, UUID(account))
        entries = int(row["account_seq"])
        if entries >= run.plan.entries:
            break
        if entries == before:
            raise CommandError(f"the account does not grow beyond {entries:,} entries")
        run.tell(f"filling one account: {entries:,} of {run.plan.entries:,} entries")
        await _pour(run, WORKS["hot-batch"])
    seconds = statistics.median([await _verified_s(run, account) for _ in range(_VERIFY_TIMES)])
    figure = f"{entries:,} entries"
    run.timings.append(Timing(what="verify of an account", figure=figure, seconds=seconds, target_s=_ENTRIES_TARGET_S))


async def _pour(run: Run, work: Work) -> str:
    """A round of a work that nobody measures, and its end; how many answers of each status there were."""
    url, templates = run.lab.env["REMIT_API_URL"], work.templates(run.population)
    measured = await load(Load(url=url, templates=templates, connections=BATCH_CONNECTIONS, duration_s=_FILL_S))
    await settle_down(run.lab)
    return ", ".join(f"{found.count:,} of {status or 'none'}" for status, found in measured.by_status.items())


async def _verified_s(run: Run, account: str) -> float:
    env = run.lab.env
    login = Credentials(email=env["REMIT_GATEWAY_ADMIN_EMAIL"], password=env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    async with open_client(env["REMIT_API_URL"], login) as client:
        await client.me()
        begun_s = time.perf_counter()
        verification = await client.verify_account(account)
        took_s = time.perf_counter() - begun_s
    if verification.status != "verified":
        raise CommandError(f"the account is {verification.status}")
    return took_s
