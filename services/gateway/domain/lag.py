"""How far one stage is behind another, found by looking at few of the rows that the first has committed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

# A place is a transaction's id: so many doublings reach back over all that a server will ever number.
_DOUBLINGS = 42
_BETWEEN = 32
ROWS_MAX = 10_000


class Lag(msgspec.Struct, frozen=True, kw_only=True):
    """How long the oldest row waits that the stage has not taken over, and how many there are from it on."""

    behind: str
    age_s: Annotated[float, Meta(description="Seconds; 0 where it has everything.", ge=0)]
    rows: Annotated[int, Meta(description=f"Counted to {ROWS_MAX}.", ge=0)]
    rows_capped: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """One row of the stage before: where it stands, how old it is, whether the stage has it."""

    place: int
    id: UUID
    age_s: float
    is_there: bool


def places_back(newest: int) -> list[int]:
    """Where to look first: at the newest row, and ever further back."""
    return [newest, *(place for n in range(_DOUBLINGS) if (place := newest - (1 << n)) > 0)]


def places_between(seen: Sequence[Seen]) -> list[int]:
    """Where to look again, to know the oldest missing row better; nowhere, if that would tell nothing new."""
    missing = oldest_missing(seen)
    if missing is None:
        return []
    below = max((one.place for one in seen if one.place < missing.place), default=0)
    step = max((missing.place - below) // _BETWEEN, 1)
    return list(range(missing.place - step, below, -step))[:_BETWEEN]


def oldest_missing(seen: Sequence[Seen]) -> Seen | None:
    """The oldest row of those that are missing without a gap, from the newest one back: a stage takes rows in order.

    One that alone is missing before them was parked, or lost; dead letters and verification name such rows.
    """
    found = None
    for one in sorted(seen, key=lambda one: one.place, reverse=True):
        if one.is_there:
            break
        found = one
    return found
