"""What clients were told, against what the books say. Each check is a coroutine over the lab and the history."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from remit.invariants import Result
from remit.invariants.result import judged
from remit.prove.clients import CURRENCY, Bank
from remit.prove.history import Fate, History, Tracked
from remit.prove.lab import Lab
from shared.database import load_queries
from shared.ids import settlement_account_id

SQL = load_queries(__file__, "checks.sql")

_ROW_STATUS = {Fate.COMPLETED: {"completed"}, Fate.REFUSED: {"failed", "blocked"}}
_LOOK_EVERY_S = 0.25
_HOUR, _DAY = timedelta(hours=1), timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits that the lab's fraud service was given."""

    max_minor: int
    max_daily_minor: int
    max_hourly_count: int
    max_daily_count: int


async def no_trace(lab: Lab, history: History) -> Result:
    """What was refused before it was begun left no row and no decision behind. Asked before anything is asked again."""
    refused = [t.transfer_id for t in history.items.values() if not t.may_exist]
    decided = {row["transfer_id"] for row in await lab.owner.fetch(SQL.decided, refused)}
    rows = {row["id"] for row in await lab.owner.fetch(SQL.transactions)}
    found = sorted(decided | (rows & set(refused)), key=str)
    return judged("no is no", f"{len(refused):,} refused unbegun", (f"{one}: refused, and there" for one in found))


async def ended_unasked(lab: Lab, history: History, within_s: float) -> Result:
    """Whatever was accepted ends although nobody asks for it again: who was answered 202 may walk away."""
    waiting = {t.transfer_id for t in history.items.values() if t.accepted and t.fate is Fate.OPEN}
    figure = f"{len(waiting):,} left alone"
    begun_s = time.monotonic()
    while waiting:
        waiting -= {row["id"] for row in await lab.owner.fetch(SQL.ended, list(waiting))}
        if time.monotonic() - begun_s > within_s:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    breaches = (f"{one}: accepted, and not ended after {within_s:.0f} s" for one in sorted(waiting, key=str))
    return judged("ended unasked", figure, breaches)


def contradictions(history: History) -> Result:
    """No status went back, no replay had other bytes, no other payload passed under a used key."""
    figure = f"{history.polls:,} polls, {history.repeats:,} repeats, {history.conflicts:,} other payloads"
    return judged("answers agree", figure, history.breaches)


def all_ended(history: History, seconds: float, within_s: float) -> Result:
    """Whatever may have been accepted has ended, soon after the last fault."""
    still = [t for t in history.items.values() if t.may_exist and t.fate is Fate.OPEN]
    figure = f"{len(history.items):,} transfers, the last after {seconds:.1f} of {within_s:.0f} s"
    return judged("all ended", figure, (f"{t.transfer_id}: open" for t in still))


async def told_is_booked(lab: Lab, bank: Bank, history: History, own: Iterable[UUID]) -> Result:
    """Each answer has its row, with the same accounts and amount; each row its request; `own` are the lab's."""
    rows = {row["id"]: row for row in await lab.owner.fetch(SQL.transactions)}
    breaches = [line for t in history.items.values() if (line := _contradicts(t, rows.get(t.transfer_id), bank))]
    strangers = set(rows) - set(history.items) - set(own)
    breaches += [f"{one}: a row that nobody asked for" for one in sorted(strangers, key=str)]
    return judged("told is booked", f"{len(history.items):,} transfers, {len(rows):,} rows", breaches)


def _contradicts(tracked: Tracked, row: Any, bank: Bank) -> str | None:
    expected = _ROW_STATUS.get(tracked.fate)
    if expected is None:
        return f"{tracked.transfer_id}: refused unbegun, and there" if row and not tracked.may_exist else None
    if row is None:
        return f"{tracked.transfer_id}: {tracked.fate}, and no row"
    if row["status"] not in expected:
        return f"{tracked.transfer_id}: {tracked.fate}, and the row says {row['status']}"
    asked = (*_sides(tracked, bank), tracked.item.amount_minor)
    booked = (row["from_account_id"], row["to_account_id"], row["amount_minor"])
    return None if asked == booked else f"{tracked.transfer_id}: the row moves something else"


def _sides(tracked: Tracked, bank: Bank) -> tuple[UUID, UUID]:
    source, to = tracked.item.source, tracked.item.to
    if source is None:
        return settlement_account_id(CURRENCY), bank.account(to)
    if to is None and tracked.is_withdrawal:
        return bank.account(source), settlement_account_id(CURRENCY)
    return bank.account(source), bank.account(to)


async def balances_add_up(lab: Lab, bank: Bank, history: History, opening: Mapping[UUID, int]) -> Result:
    """Each balance is what it was in the beginning and what clients were told has moved: to the cent."""
    expected: Counter[UUID] = Counter(opening)
    for tracked in history.items.values():
        if tracked.fate is Fate.COMPLETED:
            source, to = _sides(tracked, bank)
            expected[source] -= tracked.item.amount_minor
            expected[to] += tracked.item.amount_minor
    rows = {row["id"]: row["balance_minor"] for row in await lab.owner.fetch(SQL.balances)}
    known = [*bank.accounts]
    breaches = (f"{a}: {rows.get(a)}, expected {expected[a]}" for a in known if rows.get(a) != expected[a])
    return judged("balances add up", f"{len(known):,} accounts", breaches)


async def limits_held(lab: Lab, limits: Limits) -> Result:
    """At no decision did a user's window hold more than the limits allow, by the fraud service's own clock."""
    by_user: dict[UUID, list[Any]] = defaultdict(list)
    for row in await lab.owner.fetch(SQL.counted):
        by_user[row["user_id"]].append(row)
    breaches = [f"{user}: {line}" for user, rows in by_user.items() for line in exceeded(rows, limits)]
    return judged("limits held", f"{sum(map(len, by_user.values())):,} counted, {len(by_user)} users", breaches)


def exceeded(rows: Sequence[Mapping[str, Any]], limits: Limits) -> list[str]:
    """Where one user's approved decisions, in the order of their time, exceed a limit."""
    found: list[str] = []
    hour: deque[datetime] = deque()
    day: deque[Mapping[str, Any]] = deque()
    for row in rows:
        now = row["decided_at"]
        while hour and hour[0] <= now - _HOUR:
            hour.popleft()
        while day and day[0]["decided_at"] <= now - _DAY:
            day.popleft()
        hour.append(now)
        day.append(row)
        held = sum(r["amount_minor"] for r in day if r["released_at"] is None or r["released_at"] > now)
        usage = (
            ("amount", row["amount_minor"], limits.max_minor),
            ("daily amount", held, limits.max_daily_minor),
            ("hourly count", len(hour), limits.max_hourly_count),
            ("daily count", len(day), limits.max_daily_count),
        )
        found += [f"{row['transfer_id']}: {name} {used} of {most}" for name, used, most in usage if used > most]
    return found


async def one_verdict(lab: Lab) -> Result:
    """A transfer was settled, and its check recorded, on the very decision that stands: verdict, reasons, moment."""
    breaches = [
        f"{row['transfer_id']}: {teller} tells another decision"
        for row in await lab.owner.fetch(SQL.told_otherwise)
        for teller, otherwise in (("its row", row["by_row"]), ("the audit log", row["by_log"]))
        if otherwise
    ]
    return judged("one verdict", f"{await lab.owner.fetchval(SQL.decisions):,} decisions", breaches)


async def no_deadlocks(lab: Lab) -> Result:
    """Everybody locks in one order: PostgreSQL never had to end a transaction for another's sake."""
    deadlocks = int(await lab.owner.fetchval(SQL.deadlocks))
    return judged("no deadlocks", f"{deadlocks:,} seen by PostgreSQL", ["see its log"] if deadlocks else ())


async def planted_alone_is_parked(lab: Lab) -> Result:
    """The dead letters are exactly the poison that was planted, each once."""
    rows = await lab.owner.fetch(SQL.open_letters)
    parked: Counter[str] = Counter()
    breaches = []
    for row in rows:
        marker = next((one for one in lab.planted if one in row["item"]), None)
        if marker is None:
            breaches.append(f"{row['schema']}: {row['id']} was parked ({row['reason']}): {_last_line(row['detail'])}")
        else:
            parked[marker] += 1
    breaches += [f"{one}: parked {parked[one]} times" for one in lab.planted if parked[one] != 1]
    return judged("only poison parked", f"{len(lab.planted)} planted, {len(rows)} parked", breaches)


def _last_line(text: str) -> str:
    """Of an error with its stack: what it was."""
    return text.strip().rpartition("\n")[2]


def works_again(faults: Iterable[tuple[str, float]], fallen: Sequence[str], within_s: float) -> Result:
    """A fresh transfer was completed soon after each fault was healed; `faults` are names and seconds. And no service
    has died but by a fault's hand."""
    found = list(faults)
    late = [
        f"{name}: no fresh transfer was completed in {within_s:.0f} s" for name, took_s in found if took_s >= within_s
    ]
    slowest_s = max((took_s for _, took_s in found), default=0.0)
    figure = f"{len(found)} faults, the slowest recovery {slowest_s:.1f} of {within_s:.0f} s"
    return judged("works again", figure, [*late, *(f"{one}: died by itself" for one in fallen)])


async def queues_empty(lab: Lab) -> Result:
    """Nothing waits at the broker, and nothing is held unacknowledged."""
    async with lab.management() as api:
        found = (await api.get("/api/queues", params={"disable_stats": "true", "enable_queue_totals": "true"})).json()
    left = {one["name"]: int(one.get("messages", 0)) for one in found}
    full = (f"{name}: {count}" for name, count in left.items() if count)
    return judged("queues empty", f"{len(left)} queues", full)
