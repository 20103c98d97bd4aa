"""Entries <-> rows. One transaction a batch; what is booked is never changed."""

from __future__ import annotations

from collections.abc import Sequence

from services.ledger.domain import Booking, Difference, Entry, bookings_of, compare, entry_id
from shared.contracts.transfer import TransferSettled
from shared.database import Connection, Database, is_data_error, load_queries

SQL = load_queries(__file__)


class Store:
    """The table `ledger.ledger_entries`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def book(self, settled: Sequence[TransferSettled]) -> tuple[int, list[Difference]]:
        """Commits the entries that are missing; says how many they were, and which transfers contradict the book.

        No lock: the primary key arbitrates. Nearly always all of them are new, so they are looked for only when one
        was met. Of two workers with the same transfer the second waits for the first one's commit and fails with
        23505, which is transient: its next attempt finds the rows and has nothing left to do.
        """
        bookings, differences = bookings_of(settled)
        if not bookings:
            return 0, differences
        try:
            fresh, contradictions = await self._write(bookings, is_met=False)
        except Exception as error:
            # An entry that contradicts one that is booked may offend a check before it offends a key.
            if not is_data_error(error):
                raise
            fresh, contradictions = await self._write(bookings, is_met=True)
        return fresh, differences + contradictions

    async def _write(self, bookings: Sequence[Booking], *, is_met: bool) -> tuple[int, list[Difference]]:
        async with self._database.transaction() as connection:
            known = await _known(connection, bookings) if is_met else []
            fresh, contradictions = compare(bookings, known)
            if fresh:
                await _insert(connection, fresh)
        return len(fresh), contradictions


async def _known(connection: Connection, bookings: Sequence[Booking]) -> list[Entry]:
    entries = [entry for booking in bookings for entry in booking.entries]
    rows = await connection.fetch(
        SQL.known_entries,
        [booking.entries[0].transfer_id for booking in bookings],
        [entry.account_id for entry in entries],
        [entry.account_seq for entry in entries],
    )
    return [Entry(*row) for row in rows]


async def _insert(connection: Connection, entries: Sequence[Entry]) -> None:
    # In one order for everyone, so that two workers with the same transfers wait for each other and cannot deadlock.
    ordered = sorted(entries, key=lambda entry: (entry.account_id.int, entry.account_seq))
    # COPY: rows as they are. An array a column costs the driver half as much again.
    await connection.copy_records_to_table(
        "ledger_entries",
        schema_name="ledger",
        columns=("id", *Entry._fields),
        records=[(entry_id(entry), *entry) for entry in ordered],
    )
