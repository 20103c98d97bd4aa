"""What clients were told, call by call, and what each answer means."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from remit.prove.workload import Intent, Item


class Fate(StrEnum):
    """What a client knows of one transfer."""

    # 201: the money has moved.
    COMPLETED = "completed"
    # 403, 404 or 422 with a `transfer_id`: decided, and no money has moved.
    REFUSED = "refused"
    # A definite no before anything was begun: the key is free, and no trace may be found.
    NOT_BEGUN = "not begun"
    # Accepted, in progress, lost on the way or `outcome_unknown`: the same key will tell.
    OPEN = "open"


ENDED = frozenset({Fate.COMPLETED, Fate.REFUSED})
# 503 codes by which nothing was begun (the contract: neither claim nor publish was attempted).
_NOTHING_DONE = frozenset({"unavailable", "overloaded"})
_REFUSALS = frozenset({403, 404, 422})
_BEFORE_ALL = frozenset({400, 401, 403, 404, 405, 413, 415, 422, 429})


def fate_of(status: int | None, code: str, *, has_transfer: bool) -> Fate:
    """What an answer says of a transfer; `status` is None where none came, `has_transfer` if it names a decided one."""
    if status == 201:
        return Fate.COMPLETED
    if status in _REFUSALS and has_transfer:
        return Fate.REFUSED
    if status in _BEFORE_ALL or (status == 503 and code in _NOTHING_DONE):
        return Fate.NOT_BEGUN
    return Fate.OPEN


@dataclass(slots=True, kw_only=True)
class Tracked:
    """One transfer that was asked for: what is known of it by now."""

    transfer_id: UUID
    item: Item
    is_withdrawal: bool
    fate: Fate = Fate.NOT_BEGUN
    # Whether any call that could have begun it was made without a definite no.
    may_exist: bool = False
    # Whether it was promised: 201 or 202, or a status by its id.
    accepted: bool = False
    asked_s: float = 0.0
    known_s: float | None = None

    def learn(self, fate: Fate, status: int | None, now_s: float) -> str | None:
        """Takes an answer in; the breach, if the answer contradicts an earlier one."""
        if fate is Fate.NOT_BEGUN:
            if self.fate in ENDED and status not in {None, 401, 429, 503}:
                return f"{self.transfer_id}: was {self.fate}, then answered {status}"
            return None
        self.may_exist = True
        self.accepted |= status in {200, 201, 202}
        if fate is Fate.OPEN:
            if self.fate in ENDED and status in {200, 202}:
                return f"{self.transfer_id}: was {self.fate}, then open again ({status})"
            self.fate = Fate.OPEN if self.fate is Fate.NOT_BEGUN else self.fate
            return None
        if self.fate in ENDED and self.fate is not fate:
            return f"{self.transfer_id}: was {self.fate}, then {fate}"
        self.fate = fate
        self.known_s = self.known_s or now_s
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An intent that was begun, and the ids of its transfers."""

    intent: Intent
    transfer_ids: tuple[UUID, ...]


@dataclass(slots=True)
class History:
    """Everything that clients were told."""

    items: dict[UUID, Tracked] = field(default_factory=dict)
    calls: dict[str, Told] = field(default_factory=dict)
    # By key: the digest of the first whole answer.
    finals: dict[str, bytes] = field(default_factory=dict)
    # Breaches that show while the clients work: a status that goes back, bytes that differ.
    breaches: list[str] = field(default_factory=list)
    # Answers by status, or by what became of the connection.
    answers: Counter[str] = field(default_factory=Counter)
    polls: int = 0
    repeats: int = 0
    conflicts: int = 0

    def learn(self, transfer_id: UUID, fate: Fate, status: int | None, now_s: float) -> None:
        """An answer about one transfer."""
        if breach := self.items[transfer_id].learn(fate, status, now_s):
            self.breaches.append(breach)

    def ended(self, key: str) -> bool:
        """Whether everything that was asked for under a key is known to have ended."""
        return all(self.items[transfer_id].fate in ENDED for transfer_id in self.calls[key].transfer_ids)

    def may_be_open(self, key: str) -> bool:
        """Whether something under a key may have been begun and is not known to have ended."""
        tracked = [self.items[transfer_id] for transfer_id in self.calls[key].transfer_ids]
        return any(one.may_exist for one in tracked) and any(one.fate not in ENDED for one in tracked)

    def heard(self, key: str, digest: bytes) -> None:
        """The bytes of an answer that tells the end of everything under a key: the same, whenever it is asked."""
        first = self.finals.setdefault(key, digest)
        if first != digest:
            self.breaches.append(f"{key}: a replay with other bytes")

    def by_fate(self) -> Counter[Fate]:
        """How many transfers are known to be what."""
        return Counter(tracked.fate for tracked in self.items.values())
