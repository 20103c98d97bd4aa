"""Every transfer has one decision, one end, and an end that its row can justify."""

from __future__ import annotations

from remit.invariants.book import SQL, Book
from remit.invariants.comparison import Side, compare
from remit.invariants.result import Result, judged


async def decided_once(book: Book) -> Result:
    """Each row has exactly one decision that says the same; a decision without a row is pending, and not for long."""
    left = Side(view=book.fraud, digests=SQL.decision_digests, rows=SQL.decision_rows, arguments=(book.lag_s,))
    right = Side(view=book.transfer, digests=SQL.decided_digests, rows=SQL.decided_rows)
    difference = await compare(left, right)
    pending = len(difference.only_left) + difference.on_their_way
    figure = f"{difference.facts:,} decisions, {pending:,} pending"
    breaches = difference.breaches(left="decisions", right="transactions")
    return judged("decided once", figure, breaches, difference.on_their_way)


async def ended_consistently(book: Book) -> Result:
    """Completed means both postings, which move exactly the amount; failed has a reason; blocked its verdict."""
    rows = await book.transfer.fetch(SQL.contradictory_transfers)
    statuses = await book.transfer.fetch(SQL.transfers_by_status)
    figure = ", ".join(f"{row['transfers']:,} {row['status']}" for row in statuses) or "no transfers"
    breaches = (f"{row['id']}: {row['status']}, verdict {row['verdict']}" for row in rows)
    return judged("ended consistently", figure, breaches)


async def refusals_justified(book: Book) -> Result:
    """Whoever was refused for want of funds had, at the position that was seen, less than the amount."""
    rows = await book.transfer.fetch(SQL.unjustified_refusals)
    refusals = await book.transfer.value(SQL.refusals)
    breaches = (
        f"{row['id']}: {row['amount_minor']} refused on {row['seen_balance_minor']} at {row['seen_account_seq']}"
        for row in rows
    )
    return judged("refusals justified", f"{refusals:,} for want of funds", breaches)


async def released(book: Book) -> Result:
    """Of a failed transfer, and of no other, fraud has released the amount."""
    left = Side(view=book.transfer, digests=SQL.failed_digests, rows=SQL.failed_rows, arguments=(book.lag_s,))
    right = Side(view=book.fraud, digests=SQL.released_digests, rows=SQL.released_rows, arguments=(book.lag_s,))
    difference = await compare(left, right)
    breaches = difference.breaches(left="failed transfers", right="releases")
    return judged("released", f"{difference.facts:,} failed transfers", breaches, difference.on_their_way)
