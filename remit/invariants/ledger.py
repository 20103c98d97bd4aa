"""The ledger explains every cent: positions without a gap, chained balances, and the same story in both schemas."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from remit.invariants.book import SQL, Book
from remit.invariants.comparison import Side, compare, differing, digests_of, ranges
from remit.invariants.result import Result, judged

# An account as one schema knows it: position, balance in minor units, and how many entries led there.
Standing = tuple[int, int, int]


async def contiguous(book: Book) -> Result:
    """An account at position n has n postings, the first at 1 and the last at n."""
    rows = await book.transfer.fetch(SQL.uncounted_positions)
    postings = await book.transfer.value(SQL.postings)
    breaches = (
        f"{row['id']}: position {row['account_seq']}, {row['postings']} postings "
        f"from {row['first_seq']} to {row['last_seq']}"
        for row in rows
    )
    return judged("contiguous", f"{postings:,} postings", breaches)


async def chained(book: Book) -> Result:
    """Each posting begins with the balance that the one before it left; the first begins at zero."""
    rows = await book.transfer.fetch(SQL.broken_chains)
    postings = await book.transfer.value(SQL.postings)
    breaches = (
        f"{row['account_id']} at {row['account_seq']}: begins with {row['before_minor']}, "
        f"position {row['seq_before']} left {row['after_before']}"
        for row in rows
    )
    return judged("chained", f"{postings:,} postings", breaches)


async def entries_match_postings(book: Book) -> Result:
    """A completed transfer has exactly a debit and a credit entry, each equal to its posting; no other has any."""
    left = Side(view=book.transfer, digests=SQL.posting_digests, rows=SQL.posting_rows, arguments=(book.lag_s,))
    right = Side(view=book.ledger, digests=SQL.entry_digests, rows=SQL.entry_rows)
    difference = await compare(left, right)
    breaches = difference.breaches(left="transactions", right="the ledger")
    return judged("entries match postings", f"{difference.facts:,} postings", breaches, difference.on_their_way)


async def ledger_equals_accounts(book: Book) -> Result:
    """What the entries of an account add up to is its balance, at the same position.

    An account whose ledger is behind is not judged here: `entries match postings` knows which entry is missing, and
    since when.
    """
    ledger = Side(view=book.ledger, digests=SQL.ledger_balance_digests, rows=SQL.ledger_balances)
    accounts = Side(view=book.transfer, digests=SQL.account_balance_digests, rows=SQL.account_balances)
    left, right = await digests_of(accounts), await digests_of(ledger)
    wrong: list[str] = []
    behind = 0
    for low, high in ranges(differing(left, right)):
        rows = await book.transfer.fetch(accounts.rows, low, high)
        standing = {row["account_id"]: (row["position"], int(row["balance_minor"]), row["position"]) for row in rows}
        entered = _entered(await book.ledger.fetch(ledger.rows, low, high))
        wrong += contradictions(standing, entered)
        behind += sum(1 for account in standing if _is_behind(standing[account], entered.get(account)))
    figure = f"{sum(accounts for accounts, _ in left.values()):,} accounts with entries"
    return judged("ledger equals accounts", figure, wrong, behind)


def contradictions(accounts: Mapping[UUID, Standing], ledger: Mapping[UUID, Standing]) -> Iterator[str]:
    """The accounts where the ledger is not merely behind."""
    for account, (position, balance_minor, entries) in sorted(ledger.items()):
        expected = accounts.get(account, (0, 0, 0))
        if _is_behind(expected, (position, balance_minor, entries)):
            continue
        if (position, balance_minor, entries) != expected:
            yield (
                f"{account}: {entries} entries to position {position} give {balance_minor}, "
                f"the account has {expected[1]} at {expected[0]}"
            )


def _is_behind(account: Standing, ledger: Standing | None) -> bool:
    position, _, entries = ledger or (0, 0, 0)
    return position < account[0] or (position == account[0] and entries < account[2])


def _entered(rows: Iterable[Any]) -> dict[UUID, Standing]:
    return {row["account_id"]: (row["position"], int(row["balance_minor"]), row["entries"]) for row in rows}
