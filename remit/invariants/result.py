"""What an invariant says of the book."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice

import msgspec

DETAIL_MAX = 5


class Status(StrEnum):
    """`catching_up`: something has not arrived yet, and is young enough to be on its way."""

    OK = "ok"
    CATCHING_UP = "catching_up"
    BREACH = "breach"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One invariant over the whole book. `figure` says how much was looked at, `detail` shows the first breaches."""

    name: str
    status: Status
    figure: str
    detail: Sequence[str] = ()
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the invariant."""
        return self.status is not Status.BREACH


def judged(name: str, figure: str, breaches: Iterable[str], waiting: int = 0) -> Result:
    """The result of counting breaches and what is still on its way."""
    found = iter(breaches)
    detail = list(islice(found, DETAIL_MAX))
    if more := sum(1 for _ in found):
        detail.append(f"and {more:,} more")
    if detail:
        return Result(name=name, status=Status.BREACH, figure=figure, detail=detail)
    if waiting:
        return Result(name=name, status=Status.CATCHING_UP, figure=f"{figure}; {waiting:,} on their way")
    return Result(name=name, status=Status.OK, figure=figure)
