"""What users have used of the limits, kept: under the lock of a user's row it is known at once.

Adding up a day's decisions at each screening costs as much as there are of them. What is kept holds until the
oldest decision leaves a window, or anything but a screening changes what counts (`forget_windows`, a trigger). Then it
is added up anew, and kept again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from services.fraud.domain import Fate, Outcome, Window, is_operators
from shared.contracts.gateway import Instruction
from shared.database import Connection, Row

_HOUR = timedelta(hours=1)
_minor = msgspec.json.Decoder(dict[str, int]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class Used:
    """A user's windows, and when the oldest of what they count was decided."""

    window: Window = field(default_factory=Window)
    hour_oldest: datetime | None = None
    day_oldest: datetime | None = None
    # Whether it is kept as it is here.
    is_kept: bool = False

    def add(self, instruction: Instruction, now: datetime) -> None:
        """One more approved transfer, decided now."""
        self.window.add(instruction.amount_minor, instruction.currency)
        self.hour_oldest = self.hour_oldest or now
        self.day_oldest = self.day_oldest or now
        self.is_kept = False


class Windows:
    """The windows of one batch's users at `now`, `window_h` hours long; 0: no limit looks back, nothing is kept."""

    def __init__(self, now: datetime, user_ids: Iterable[UUID], *, window_h: int) -> None:
        self.now = now
        self._window_h = window_h
        self._since = now - timedelta(hours=window_h)
        self._used = {user_id: Used() for user_id in user_ids} if window_h else {}

    async def read(self, connection: Connection, add_up: str, found: Iterable[Row]) -> None:
        """Takes what is kept of the users (`found`), and has the rest added up by the statement `add_up`."""
        for row in found:
            if row["user_id"] in self._used and self._holds(row):
                self._used[row["user_id"]] = _kept(row)
        unknown = [user_id for user_id, used in self._used.items() if not used.is_kept]
        if unknown:
            for row in await connection.fetch(add_up, unknown, self._since, self.now - _HOUR):
                _add_up(self._used[row["user_id"]], row)

    @property
    def windows(self) -> Mapping[UUID, Window]:
        """What each user has used."""
        return {user_id: used.window for user_id, used in self._used.items()}

    def _holds(self, row: Row) -> bool:
        if row["window_h"] != self._window_h or row["counted_at"] > self.now:
            return False
        is_hour_whole = row["hour_oldest"] is None or row["hour_oldest"] > self.now - _HOUR
        return is_hour_whole and (row["day_oldest"] is None or row["day_oldest"] > self._since)

    def count(self, instructions: Iterable[Instruction], outcomes: Iterable[Outcome]) -> None:
        """Adds what was approved."""
        if not self._window_h:
            return
        for instruction, outcome in zip(instructions, outcomes, strict=True):
            if outcome.fate is Fate.APPROVED and not is_operators(instruction):
                self._used[instruction.owner_id].add(instruction, self.now)

    def to_columns(self) -> tuple[object, ...]:
        """What is to be kept, as the last parameters of `insert_decisions`: what is kept so already is left out."""
        changed = {user_id: used for user_id, used in self._used.items() if not used.is_kept}
        found = changed.values()
        return (
            self._window_h,
            self.now,
            list(changed),
            [used.window.hour_count for used in found],
            [used.hour_oldest for used in found],
            [used.window.day_count for used in found],
            [used.day_oldest for used in found],
            [_encode(used.window.day_minor).decode() for used in found],
        )


def _kept(row: Row) -> Used:
    window = Window(row["hour_count"], row["day_count"], _minor(row["day_minor"]))
    return Used(window, row["hour_oldest"], row["day_oldest"], is_kept=True)


def _add_up(used: Used, row: Row) -> None:
    """One currency's part."""
    used.window.hour_count += row["approved_lately"]
    used.window.day_count += row["approved"]
    used.window.day_minor[row["currency"]] = int(row["held_minor"])
    used.hour_oldest = _earlier(used.hour_oldest, row["oldest_lately"])
    used.day_oldest = _earlier(used.day_oldest, row["oldest"])


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((moment for moment in (one, other) if moment is not None), default=None)
