"""Money is neither made nor lost, and nobody owes any."""

from __future__ import annotations

from remit.invariants.book import SQL, Book
from remit.invariants.result import Result, judged
from shared.money import to_text


async def conserved(book: Book) -> Result:
    """Per currency the sum of all balances is zero: what customers hold, the settlement account lacks."""
    rows = await book.transfer.fetch(SQL.sums)
    held = [_amount(row["customers_minor"], row["currency"]) for row in rows if int(row["customers_minor"])]
    breaches = (
        f"{row['currency']}: all balances add up to {row['total_minor']} minor units"
        for row in rows
        if int(row["total_minor"]) != 0
    )
    return judged("conserved", f"customers hold {', '.join(held) or 'nothing'}", breaches)


async def nobody_overdrawn(book: Book) -> Result:
    """No customer's account is below zero."""
    rows = await book.transfer.fetch(SQL.overdrawn)
    customers = await book.transfer.value(SQL.customers)
    breaches = (f"{row['id']}: {_amount(row['balance_minor'], row['currency'])}" for row in rows)
    return judged("nobody overdrawn", f"{customers:,} accounts", breaches)


async def debits_equal_credits(book: Book) -> Result:
    """In the ledger, per currency, what was taken was given."""
    rows = await book.ledger.fetch(SQL.entry_totals)
    entries = sum(row["entries"] for row in rows)
    breaches = (
        f"{row['currency']}: debits {row['debits_minor']}, credits {row['credits_minor']} minor units"
        for row in rows
        if row["debits_minor"] != row["credits_minor"]
    )
    return judged("debits equal credits", f"{entries:,} entries", breaches)


def _amount(minor: str | int, currency: str) -> str:
    return f"{to_text(int(minor), currency)} {currency}"
