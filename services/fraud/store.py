"""Rows <-> decisions: one transaction a batch. Locks first; then, in later statements, what exists; then the rest.

Users are locked so that limits hold under concurrency, and so that the second of two workers with the same transfer
finds the first's decision. Where their owners differ nothing is locked in common, and the primary key decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.fraud import rows
from services.fraud.domain import Fate, Limits, Outcome, Past, screen
from services.fraud.windows import Windows
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import BatchPlace, Instruction, TransferRequested
from shared.contracts.transfer import TransferSettled
from shared.database import Connection, Database, Row, load_queries

SQL = load_queries(__file__)


@dataclass(frozen=True, slots=True)
class Screened:
    """What a request led to. The event of a repeated one is that of the first."""

    outcome: Outcome
    event: TransferScreened


class Store:
    """The schema `fraud` as its own service writes it."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self._limits = limits

    async def screen(self, requests: Sequence[TransferRequested]) -> list[Screened]:
        """The verdict on each request, in order; those decided before as they were decided then."""
        try:
            return await self._screen(requests, may_be_new=False)
        except _UserIsNew:
            return await self._screen(requests, may_be_new=True)

    async def _screen(self, requests: Sequence[TransferRequested], *, may_be_new: bool) -> list[Screened]:
        instructions = [request.instruction for request in requests]
        async with self._database.transaction() as connection:
            await _lock_users(connection, instructions, may_be_new=may_be_new)
            used, standing = await self._look(connection, instructions)
            past = Past(
                requests={transfer_id: event.instruction for transfer_id, event in standing.items()},
                batches=await _batches(connection, instructions),
                windows=used.windows,
            )
            outcomes = screen(instructions, past, self._limits)
            used.count(instructions, outcomes)
            fresh = self._messages(instructions, outcomes, standing, used.now)
            decided = [item.event for item in fresh if item.outcome.fate in _DECIDED]
            await _insert_batches(connection, decided, past.batches)
            await _insert(connection, decided, used=used)
        return [
            Screened(item.outcome, rows.addressed(item.event, request.reply_to))
            for item, request in zip(fresh, requests, strict=True)
        ]

    async def _look(
        self, connection: Connection, instructions: Sequence[Instruction]
    ) -> tuple[Windows, dict[UUID, TransferScreened]]:
        """What the users have used now, and which of the requests were decided before; the users are locked."""
        user_ids, transfer_ids = _user_ids(instructions), list({each.transfer_id for each in instructions})
        found = await connection.fetch(SQL.look, user_ids, transfer_ids)
        used = Windows(found[0]["now"], user_ids, window_h=self._limits.window_h)
        await used.read(connection, SQL.window_usage, found)
        return used, _standing(found)

    def _messages(
        self,
        instructions: Sequence[Instruction],
        outcomes: Sequence[Outcome],
        standing: dict[UUID, TransferScreened],
        now: datetime,
    ) -> list[Screened]:
        known, found = dict(standing), list[Screened]()
        for instruction, outcome in zip(instructions, outcomes, strict=True):
            if outcome.fate is Fate.REPEATED:
                event = known[instruction.transfer_id]
            else:
                event = rows.screened(instruction, outcome, limits=self._limits, now=now)
            if outcome.fate in _DECIDED:
                known[instruction.transfer_id] = event
            found.append(Screened(outcome, event))
        return found

    async def release(self, failed: Sequence[TransferSettled]) -> int:
        """Takes back what failed transfers held; how many were released now.

        A transfer that is unknown here (its decision was lost) leaves one that is released from the start, so that a
        late duplicate of its request finds it.
        """
        ended = {settled.instruction.transfer_id: settled for settled in failed}
        instructions = [settled.instruction for settled in ended.values()]
        async with self._database.transaction() as connection:
            await _lock_users(connection, instructions, may_be_new=True)
            now: datetime = await connection.fetchval(SQL.now)
            found = await connection.fetch(SQL.find_decision_ids, list(ended))
            known = {row["transfer_id"] for row in found}
            void = [
                TransferScreened(instruction=settled.instruction, screening=settled.screening)
                for transfer_id, settled in ended.items()
                if transfer_id not in known
            ]
            released = await connection.fetch(SQL.release, list(known), now) if known else []
            await _insert(connection, void, used=Windows(now, (), window_h=0), released_at=now)
        return len(released) + len(void)


_DECIDED = frozenset({Fate.APPROVED, Fate.BLOCKED})


def _user_ids(instructions: Iterable[Instruction]) -> list[UUID]:
    return sorted({instruction.owner_id for instruction in instructions}, key=lambda user_id: user_id.int)


class _UserIsNew(Exception):
    """Somebody's first transfer: all is let go of, so that he is added before anybody is locked, as by everyone."""


async def _lock_users(connection: Connection, instructions: Iterable[Instruction], *, may_be_new: bool) -> None:
    user_ids = _user_ids(instructions)
    if may_be_new:
        await connection.execute(SQL.add_users, user_ids)
    locked = await connection.fetch(SQL.lock_users, user_ids)
    if len(locked) < len(user_ids):
        raise _UserIsNew


def _standing(found: Iterable[Row]) -> dict[UUID, TransferScreened]:
    return {row["transfer_id"]: rows.from_payload(row["payload"]) for row in found if row["transfer_id"] is not None}


def _places(instructions: Iterable[Instruction]) -> dict[UUID, BatchPlace]:
    return {item.batch.batch_id: item.batch for item in instructions if item.batch is not None}


async def _batches(connection: Connection, instructions: Iterable[Instruction]) -> dict[UUID, str]:
    batch_ids = list(_places(instructions))
    if not batch_ids:
        return {}
    return {row["batch_id"]: row["fingerprint"] for row in await connection.fetch(SQL.find_batches, batch_ids)}


async def _insert_batches(connection: Connection, decided: Iterable[TransferScreened], known: Iterable[UUID]) -> None:
    """The batches of which something is decided now for the first time."""
    places = _places(event.instruction for event in decided)
    fresh = sorted((places[batch_id] for batch_id in places.keys() - set(known)), key=lambda place: place.batch_id.int)
    if fresh:
        await connection.execute(
            SQL.insert_batches,
            [place.batch_id for place in fresh],
            [place.fingerprint for place in fresh],
            [place.count for place in fresh],
        )


async def _insert(
    connection: Connection, events: Sequence[TransferScreened], *, used: Windows, released_at: datetime | None = None
) -> None:
    if events:
        await connection.execute(SQL.insert_decisions, *rows.to_columns(events), released_at, *used.to_columns())
