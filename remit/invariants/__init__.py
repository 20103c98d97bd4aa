"""The invariants of the book, written once: `remit verify`, the tests and the fault campaign all run these.

Each is a coroutine over a `Book` that gives a `Result`. They only read, and judge one snapshot a schema, so they hold
while money moves: what follows its cause may be missing while it is young, and nothing else is excused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from remit.invariants.audit import audit_chain, audit_ids_derived, audited
from remit.invariants.book import Book, open_book
from remit.invariants.dead_letters import nothing_parked
from remit.invariants.ledger import chained, contiguous, entries_match_postings, ledger_equals_accounts
from remit.invariants.money import conserved, debits_equal_credits, nobody_overdrawn
from remit.invariants.result import Result, Status
from remit.invariants.transfers import decided_once, ended_consistently, refusals_justified, released
from shared.settings import Environment

Invariant = Callable[[Book], Awaitable[Result]]

# What PostgreSQL works out; and what this process works out meanwhile, each over pages of its own.
_SUMMED: tuple[Invariant, ...] = (
    conserved,
    nobody_overdrawn,
    decided_once,
    ended_consistently,
    refusals_justified,
    released,
    contiguous,
    chained,
    entries_match_postings,
    ledger_equals_accounts,
    debits_equal_credits,
    audited,
)
_WALKED: tuple[Invariant, ...] = (audit_chain, audit_ids_derived)
INVARIANTS = (*_SUMMED, *_WALKED)

__all__ = ["INVARIANTS", "Book", "Invariant", "Result", "Status", "check_all", "check_book", "open_book", "worst"]


async def check_all(environment: Environment, *, strict: bool = False) -> list[Result]:
    """Every invariant over the whole book, each with its time. `strict`: an open dead letter is a breach, too."""
    async with open_book(environment) as book:
        return await check_book(book, strict=strict)


async def check_book(book: Book, *, strict: bool = False) -> list[Result]:
    """The same over an open book."""
    summed: Sequence[Invariant] = (*_SUMMED, partial(nothing_parked, strict=strict))
    lanes = (summed, *([invariant] for invariant in _WALKED))
    async with asyncio.TaskGroup() as tasks:
        checking = [tasks.create_task(_check(book, lane)) for lane in lanes]
    return [result for lane in checking for result in lane.result()]


async def _check(book: Book, invariants: Sequence[Invariant]) -> list[Result]:
    results: list[Result] = []
    for invariant in invariants:
        begun_s = time.monotonic()
        result = await invariant(book)
        results.append(msgspec.structs.replace(result, elapsed_s=round(time.monotonic() - begun_s, 3)))
    return results


def worst(results: Sequence[Result]) -> Status:
    """What the book is as a whole."""
    found = {result.status for result in results}
    return next((status for status in (Status.BREACH, Status.CATCHING_UP) if status in found), Status.OK)
