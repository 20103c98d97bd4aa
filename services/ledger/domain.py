"""What a settled transfer means for the ledger: pure decisions, all amounts in minor units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from services.ledger.errors import PostingsInconsistent
from shared.contracts.transfer import Posting, Status, TransferSettled
from shared.ids import derive


class Direction(StrEnum):
    """Money leaves an account by a debit, which lowers it, and reaches one by a credit, which raises it."""

    DEBIT = "debit"
    CREDIT = "credit"


class Entry(NamedTuple):
    """One side of a completed transfer. Two entries are the same if every field is; `created_at` is the settling."""

    transfer_id: UUID
    direction: str
    account_id: UUID
    account_seq: int
    amount_minor: int
    currency: str
    balance_before_minor: int
    balance_after_minor: int
    created_at: datetime


class Booking(NamedTuple):
    """A completed transfer and its two entries, which are booked together or not at all."""

    settled: TransferSettled
    entries: tuple[Entry, Entry]


class Difference(NamedTuple):
    """A settled transfer that cannot be booked, because it contradicts itself or what is booked already."""

    settled: TransferSettled
    detail: str


def entry_id(entry: Entry) -> UUID:
    """The id of an entry: the same wherever and however often it is booked."""
    return derive("ledger-entry", entry.transfer_id, entry.direction)


def entries_of(settled: TransferSettled) -> tuple[Entry, Entry] | None:
    """Both entries of a completed transfer; a failed or blocked one moved nothing and has none.

    Raises:
        PostingsInconsistent: a posting is missing, or does not move its balance by the amount.
    """
    if settled.status is not Status.COMPLETED:
        return None
    if settled.debit is None or settled.credit is None:
        raise PostingsInconsistent("completed, but a posting is missing")
    amount_minor = settled.instruction.amount_minor
    return (
        _entry(settled, Direction.DEBIT, settled.debit, -amount_minor),
        _entry(settled, Direction.CREDIT, settled.credit, amount_minor),
    )


def _entry(settled: TransferSettled, direction: Direction, posting: Posting, change_minor: int) -> Entry:
    if posting.balance_after_minor != posting.balance_before_minor + change_minor:
        raise PostingsInconsistent(f"the {direction} does not move its balance by the amount")
    return Entry(
        settled.instruction.transfer_id,
        direction,
        posting.account_id,
        posting.account_seq,
        settled.instruction.amount_minor,
        settled.instruction.currency,
        posting.balance_before_minor,
        posting.balance_after_minor,
        settled.settled_at,
    )


def bookings_of(settled: Iterable[TransferSettled]) -> tuple[list[Booking], list[Difference]]:
    """What a batch asks to be booked, in order, and what of it contradicts itself."""
    bookings: list[Booking] = []
    differences: list[Difference] = []
    for item in settled:
        try:
            entries = entries_of(item)
        except PostingsInconsistent as error:
            differences.append(Difference(item, str(error)))
            continue
        if entries is not None:
            bookings.append(Booking(item, entries))
    return bookings, differences


def compare(bookings: Sequence[Booking], known: Iterable[Entry]) -> tuple[list[Entry], list[Difference]]:
    """The entries that are not booked yet, and the transfers that contradict those that are.

    What is booked stands. `known` holds what the ledger has under the transfers and positions of `bookings`; what an
    earlier booking of the same batch adds counts as known to the later ones.
    """
    by_side: dict[tuple[UUID, str], Entry] = {}
    by_position: dict[tuple[UUID, int], Entry] = {}

    def remember(entry: Entry) -> None:
        by_side[entry.transfer_id, entry.direction] = entry
        by_position[entry.account_id, entry.account_seq] = entry

    def standing(entry: Entry) -> Entry | None:
        side = by_side.get((entry.transfer_id, entry.direction))
        return side or by_position.get((entry.account_id, entry.account_seq))

    for entry in known:
        remember(entry)
    fresh: list[Entry] = []
    differences: list[Difference] = []
    for booking in bookings:
        there = (standing(booking.entries[0]), standing(booking.entries[1]))
        if there == (None, None):
            fresh += booking.entries
            for entry in booking.entries:
                remember(entry)
        elif there != booking.entries:
            differences.append(Difference(booking.settled, _described(booking, there)))
    return fresh, differences


def _described(booking: Booking, there: tuple[Entry | None, Entry | None]) -> str:
    """The first side that contradicts, with its account and position, for the operator who compares."""
    for asked, booked in zip(booking.entries, there, strict=True):
        if booked is None:
            return f"the {asked.direction} at {asked.account_id} #{asked.account_seq} is missing beside the other side"
        fields = [name for name in Entry._fields if getattr(asked, name) != getattr(booked, name)]
        if fields:
            place = f"{booked.account_id} #{booked.account_seq}"
            return f"the {asked.direction} differs from the entry at {place}, transfer {booked.transfer_id}: {fields}"
    raise AssertionError("unreachable: only contradictions are described")
