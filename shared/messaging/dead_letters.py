"""Parking: what cannot be carried is put into the service's own table, whole, for an operator; it never expires."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from shared.database import Database, load_queries, passing_named
from shared.ids import derive
from shared.observability.metrics import PARKED

log = structlog.get_logger(__name__)

SQL = load_queries(__file__)

REPLAYED, ALREADY_FINAL, DISCARDED = "replayed", "already_final", "discarded"


@dataclass(frozen=True, kw_only=True)
class Letter:
    """One parked item: `item` is its text as it arrived, `origin` the queue, `detail` the error and its stack.

    `named` is what the log calls it, where it could be read.
    """

    message_type: str
    reason: str
    detail: str
    origin: str
    item: str
    named: Mapping[str, str] = field(default_factory=dict)

    @property
    def letter_id(self) -> UUID:
        """The same item from the same queue is the same letter, however often it is parked."""
        return derive("dead-letter", self.origin, self.item)


@dataclass(frozen=True, kw_only=True)
class Parked:
    """A letter as its row has it, as far as a replay needs it. `times_parked` grows whenever it comes back."""

    message_type: str
    item: str
    times_parked: int
    is_discarded: bool


class DeadLetters:
    """The tables `dead_letters` and `attempts` of one service's schema.

    Consumers write here outside any handler, where nothing else tells a server that is away from a bug: each write
    raises `TransientError` for whatever passes.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def park(self, letters: Sequence[Letter]) -> None:
        """Commits `letters`; one that is open already, or was replayed in vain, is counted once more.

        Raises:
            TransientError: the database did not take them; nothing is parked.
        """
        # Each once, and in one order for everyone: two workers that park the same items wait for each other.
        unique = {letter.letter_id: letter for letter in letters}
        letters = [unique[letter_id] for letter_id in sorted(unique)]
        async with passing_named(), self._database.transaction() as connection:
            await connection.execute(
                SQL.park_letters,
                [letter.letter_id for letter in letters],
                [letter.message_type for letter in letters],
                [letter.reason for letter in letters],
                # PostgreSQL stores no NUL; the escaped form says as much.
                [letter.detail.replace("\x00", "\\x00") for letter in letters],
                [letter.origin for letter in letters],
                [letter.item.replace("\x00", "\\x00") for letter in letters],
            )
        for letter in letters:
            PARKED.labels(letter.reason).inc()
            log.error(
                "parked",
                letter_id=str(letter.letter_id),
                reason=letter.reason,
                origin=letter.origin,
                type=letter.message_type,
                **letter.named,
            )

    async def find(self, letter_id: UUID) -> Parked | None:
        """One letter."""
        row = await self._database.fetchrow(SQL.find_letter, letter_id)
        if row is None:
            return None
        return Parked(
            message_type=row["message_type"],
            item=row["item"],
            times_parked=row["times_parked"],
            is_discarded=row["resolution"] == DISCARDED,
        )

    async def resolve(
        self, letter_id: UUID, resolution: str, *, by: UUID | None, times_parked: int | None = None
    ) -> None:
        """The letter is closed; unless it is so already or, where a count is given, was parked again since."""
        async with passing_named(), self._database.transaction() as connection:
            await connection.execute(SQL.resolve_letter, letter_id, resolution, by, times_parked)

    async def keep(self, letter_id: UUID, detail: str) -> None:
        """The letter stays open, and tells what its replay met."""
        async with passing_named(), self._database.transaction() as connection:
            await connection.execute(SQL.keep_letter, letter_id, detail.replace("\x00", "\\x00"))

    async def count_try(self, event_id: UUID) -> int:
        """Commits one more try of this event and says how many there were."""
        async with passing_named(), self._database.transaction() as connection:
            tries = await connection.fetchval(SQL.count_try, event_id)
        return int(tries)

    async def discount_try(self, event_id: UUID) -> None:
        """Takes back the last try: it ended for a reason that has nothing to do with the event."""
        async with passing_named(), self._database.transaction() as connection:
            await connection.execute(SQL.discount_try, event_id)

    async def forget(self, event_id: UUID) -> None:
        """The event has reached an end; its tries no longer matter."""
        async with passing_named(), self._database.transaction() as connection:
            await connection.execute(SQL.forget_tries, event_id)
