"""What was parked for an operator. It is no breach: the money of a parked message has not moved."""

from __future__ import annotations

from remit.invariants.book import Book
from remit.invariants.result import Result, judged
from shared.database import load_queries

SQL = load_queries(__file__, "dead_letters.sql")


async def nothing_parked(book: Book, *, strict: bool) -> Result:
    """How many letters are open in each service; a breach only if that is asked for."""
    found = {view.schema: await view.fetch(SQL.open_letters) for view in book.views}
    lines = (
        f"{schema}: {row['id']}, {row['message_type']}, {row['reason']}"
        for schema, rows in found.items()
        for row in rows
    )
    counts = ", ".join(f"{len(rows)} in {schema}" for schema, rows in found.items() if rows)
    return judged("dead letters", f"open: {counts or 'none'}", lines if strict else ())
