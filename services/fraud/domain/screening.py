"""Screening: a user's rolling windows, and the verdict on each transfer of a batch, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.fraud.domain.limits import Limits
from services.fraud.errors import AmountImpossible
from shared.money import to_text

# The limits by name, in the order in which they are told.
CODES = (
    "amount_below_minimum",
    "amount_above_maximum",
    "daily_amount_exceeded",
    "hourly_count_exceeded",
    "daily_count_exceeded",
)
# What an operator moves in and out counts against no user's limits.
OPERATOR_KINDS = frozenset({"deposit", "withdrawal"})


@dataclass(slots=True)
class Window:
    """What a user has had approved: counts in the last hour and day; the day's amounts by currency (minor units)."""

    hour_count: int = 0
    day_count: int = 0
    day_minor: dict[str, int] = field(default_factory=dict)

    def copy(self) -> Window:
        return Window(self.hour_count, self.day_count, dict(self.day_minor))

    def add(self, amount_minor: int, currency: str) -> None:
        """One more approved transfer."""
        self.hour_count += 1
        self.day_count += 1
        self.day_minor[currency] = self.day_minor.get(currency, 0) + amount_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceeded:
    """A limit that a transfer would exceed, as decimal strings of its currency, or counts.

    `usage` is what there was before it; `attempted` what there would be with it.
    """

    code: str
    limit: str
    usage: str
    attempted: str


def exceeded(amount_minor: int, currency: str, window: Window, limits: Limits) -> tuple[Exceeded, ...]:
    """Every limit that a transfer of `amount_minor` would exceed on top of `window`.

    Raises:
        UnknownCurrency: not an active ISO 4217 code.
    """

    def amount(code: str, limit_minor: int, used_minor: int = 0) -> Exceeded:
        limit, usage = to_text(limit_minor, currency), to_text(used_minor, currency)
        return Exceeded(code=code, limit=limit, usage=usage, attempted=to_text(used_minor + amount_minor, currency))

    def count(code: str, limit: int, used: int) -> Exceeded:
        return Exceeded(code=code, limit=str(limit), usage=str(used), attempted=str(used + 1))

    found: list[Exceeded] = []
    used_minor = window.day_minor.get(currency, 0)
    if (least := limits.min_amount) and amount_minor < least.of(currency):
        found.append(amount("amount_below_minimum", least.of(currency)))
    if (most := limits.max_amount) and amount_minor > most.of(currency):
        found.append(amount("amount_above_maximum", most.of(currency)))
    if (daily := limits.max_daily_amount) and used_minor + amount_minor > daily.of(currency):
        found.append(amount("daily_amount_exceeded", daily.of(currency), used_minor))
    if (hourly_count := limits.max_hourly_count) is not None and window.hour_count >= hourly_count:
        found.append(count("hourly_count_exceeded", hourly_count, window.hour_count))
    if (daily_count := limits.max_daily_count) is not None and window.day_count >= daily_count:
        found.append(count("daily_count_exceeded", daily_count, window.day_count))
    return tuple(found)


class Place(Protocol):
    """Which batch call a request belongs to."""

    @property
    def batch_id(self) -> UUID: ...
    @property
    def fingerprint(self) -> str: ...


class Request(Protocol):
    """What screening reads of an instruction."""

    @property
    def transfer_id(self) -> UUID: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def owner_id(self) -> UUID: ...
    @property
    def from_account_id(self) -> UUID: ...
    @property
    def to_account_id(self) -> UUID: ...
    @property
    def amount_minor(self) -> int: ...
    @property
    def currency(self) -> str: ...
    @property
    def description(self) -> str | None: ...
    @property
    def metadata(self) -> object: ...
    @property
    def batch(self) -> Place | None: ...


class Fate(StrEnum):
    """What becomes of a request. `repeated`: it was decided before, and that verdict stands."""

    APPROVED = "approved"
    BLOCKED = "blocked"
    CONFLICT = "conflict"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What screening says of one request."""

    fate: Fate
    exceeded: tuple[Exceeded, ...] = ()
    differing_fields: tuple[str, ...] = ()


_APPROVED, _REPEATED = Outcome(Fate.APPROVED), Outcome(Fate.REPEATED)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What was decided before this batch: the first request of each id, batches' fingerprints, users' windows."""

    requests: Mapping[UUID, Request] = field(default_factory=dict)
    batches: Mapping[UUID, str] = field(default_factory=dict)
    windows: Mapping[UUID, Window] = field(default_factory=dict)


def screen(requests: Sequence[Request], past: Past, limits: Limits) -> list[Outcome]:
    """One outcome a request, in order: what is approved counts for those that follow.

    Raises:
        AmountImpossible, UnknownCurrency: a request that no gateway lets through; nothing is decided.
    """
    first, batches = dict(past.requests), dict(past.batches)
    windows: dict[UUID, Window] = {}
    outcomes: list[Outcome] = []
    for request in requests:
        if fields := _conflict(request, first, batches):
            outcomes.append(Outcome(Fate.CONFLICT, differing_fields=fields))
            continue
        if request.transfer_id in first:
            outcomes.append(_REPEATED)
            continue
        first[request.transfer_id] = request
        if request.batch is not None:
            batches[request.batch.batch_id] = request.batch.fingerprint
        if (window := windows.get(request.owner_id)) is None:
            window = windows[request.owner_id] = past.windows.get(request.owner_id, Window()).copy()
        outcomes.append(_decide(request, window, limits))
    return outcomes


def _conflict(request: Request, first: Mapping[UUID, Request], batches: Mapping[UUID, str]) -> tuple[str, ...]:
    """How `request` differs from what its id, or its batch's, was first used for; empty if it does not."""
    earlier, place = first.get(request.transfer_id), request.batch
    if earlier is not None and earlier.fingerprint != request.fingerprint:
        return differing_fields(earlier, request)
    if place is not None and batches.get(place.batch_id, place.fingerprint) != place.fingerprint:
        return ("batch",)
    return ()


def _decide(request: Request, window: Window, limits: Limits) -> Outcome:
    if request.amount_minor <= 0:
        raise AmountImpossible
    if is_operators(request):
        return _APPROVED
    if found := exceeded(request.amount_minor, request.currency, window, limits):
        return Outcome(Fate.BLOCKED, exceeded=found)
    window.add(request.amount_minor, request.currency)
    return _APPROVED


def is_operators(request: Request) -> bool:
    """Whether an operator's policy applies: approved, and counted against no limit."""
    return request.kind in OPERATOR_KINDS


# The names that clients know, and what they are here.
_COMPARED = {
    "kind": "kind",
    "from_account_id": "from_account_id",
    "to_account_id": "to_account_id",
    "amount": "amount_minor",
    "currency": "currency",
    "description": "description",
    "metadata": "metadata",
}


def differing_fields(first: Request, other: Request) -> tuple[str, ...]:
    """In which fields two requests of one id differ; `fingerprint` where in none that a client can see."""
    found = (name for name, own in _COMPARED.items() if getattr(first, own) != getattr(other, own))
    return tuple(found) or ("fingerprint",)
