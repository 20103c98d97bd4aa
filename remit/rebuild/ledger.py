"""The ledger made anew from transfer's rows: beside the one that stands, proven, and only then in its place.

One transaction on the ledger's side: whatever goes wrong, the ledger stands as it stood. Its worker may run; what it
cannot book meanwhile it books afterwards, and finds there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row, tuple_row

from remit.errors import CommandError
from remit.invariants.book import SQL as BOOK
from services.ledger.domain import Direction, Entry, entry_id
from shared.database import load_queries
from shared.settings import Environment, owner_postgres_url

SQL = load_queries(__file__)

_CONNECT_TIMEOUT_S = 5
_LOCK_TIMEOUT_S = 30
_PAGE_ROWS = 5_000

Connection = psycopg.AsyncConnection[DictRow]


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What was made anew, and how what stood differs from it: how many sides are missing, wrong, extra; the first."""

    entries: int
    differences: Mapping[str, int]
    first: Sequence[Mapping[str, Any]]
    is_in_place: bool


async def rebuild(environment: Environment, *, apply: bool) -> Rebuilt:
    """Makes the ledger anew and, if it differs and `apply` says so, puts it in the place of the one that stands.

    Raises:
        CommandError: what was made anew does not tell the same as transfer's rows; nothing was changed.
    """
    async with _session(owner_postgres_url(environment, "ledger")) as ledger:
        await ledger.execute(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        # First this, then the other side's snapshot: whatever is booked by now has its row there.
        await _run(ledger, SQL.hold)
        await _run(ledger, SQL.make)
        async with _session(owner_postgres_url(environment, "transfer")) as transfer:
            await transfer.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            entries = await _fill(ledger, transfer)
            await _prove(ledger, transfer)
        await _run(ledger, SQL.compare)
        differences = {row["what"]: row["sides"] for row in await (await _run(ledger, SQL.counts)).fetchall()}
        first = await (await _run(ledger, SQL.first)).fetchall()
        if differences and apply:
            for statement in (SQL.remember, SQL.empty, SQL.put):
                await _run(ledger, statement)
            await ledger.commit()
        return Rebuilt(entries=entries, differences=differences, first=first, is_in_place=bool(differences and apply))


@asynccontextmanager
async def _session(url: str) -> AsyncIterator[Connection]:
    """A transaction that is rolled back unless somebody commits it."""
    connection = await psycopg.AsyncConnection.connect(
        url, connect_timeout=_CONNECT_TIMEOUT_S, application_name="remit rebuild", row_factory=dict_row
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _run(connection: Connection, statement: str) -> psycopg.AsyncCursor[DictRow]:
    return await connection.execute(statement.encode())


async def _fill(ledger: Connection, transfer: Connection) -> int:
    """Both entries of every completed transfer; how many entries."""
    entries = 0
    async with transfer.cursor(name="completed") as rows, ledger.cursor() as into:
        rows.itersize = _PAGE_ROWS
        await rows.execute(SQL.completed.encode())
        async with into.copy(SQL.fill.encode()) as copy:
            async for row in rows:
                for entry in _entries(row):
                    await copy.write_row((entry_id(entry), *entry))
                    entries += 1
    return entries


def _entries(row: Mapping[str, Any]) -> Iterator[Entry]:
    sides = ((Direction.DEBIT, "debit", "from_account_id"), (Direction.CREDIT, "credit", "to_account_id"))
    for direction, side, account in sides:
        yield Entry(
            transfer_id=row["id"],
            direction=direction.value,
            account_id=row[account],
            account_seq=row[f"{side}_seq"],
            amount_minor=row["amount_minor"],
            currency=row["currency"],
            balance_before_minor=row[f"{side}_balance_before_minor"],
            balance_after_minor=row[f"{side}_balance_after_minor"],
            created_at=row["settled_at"],
        )


async def _prove(ledger: Connection, transfer: Connection) -> None:
    """What was made tells, fact by fact, what `remit verify` reads from transfer's rows."""
    made = await _digests(ledger, BOOK.entry_digests.replace("ledger.entries", "rebuilt"))
    wanted = await _digests(transfer, BOOK.posting_digests)
    if made != wanted:
        raise CommandError("what was made anew does not tell the same as transfer's rows; nothing was changed")


async def _digests(connection: Connection, statement: str) -> list[tuple[Any, ...]]:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statement.encode())
        return sorted(await cursor.fetchall())
