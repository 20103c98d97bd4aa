"""Verification over HTTP while somebody with the owner's rights has been at the tables: found, and named."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from shared.database import Connection, Database
from tests.integration.conftest import Whole

# Rows of these tables are put back as they were, whatever was done to them.
_TABLES = {
    "transfer.accounts": "id = ANY($1)",
    "transfer.transactions": "from_account_id = ANY($1) OR to_account_id = ANY($1)",
    "ledger.ledger_entries": "account_id = ANY($1)",
}
_AGED = "UPDATE transfer.transactions SET settled_at = settled_at - interval '1 hour' WHERE to_account_id = {account}"


@dataclass(frozen=True)
class Book:
    """An account with five entries: credits of 1.00, 2.00, 3.00, 4.00 and 5.00, in this order."""

    account: str
    source: str

    def fill(self, statement: str) -> str:
        return statement.format(account=f"'{self.account}'", source=f"'{self.source}'")


@pytest.fixture(scope="module")
def book(whole: Whole) -> Book:
    bank = whole.bank
    alice, bob = bank.customer("Alice"), bank.customer("Bob")
    source, account = bank.funded(alice, "100.00"), bob.open_account()
    for amount in range(1, 6):
        assert alice.transfer(source, account, f"{amount}.00").status_code == 201
    for one in (source, account):
        assert bank.verified(one)["status"] == "verified"
    return Book(account, source)


@asynccontextmanager
async def tampered(owner: Database, book: Book, statements: Sequence[str]) -> AsyncIterator[None]:
    """The tables after these statements, seen by everybody; afterwards as they were."""
    accounts = [UUID(book.account), UUID(book.source)]
    async with owner.transaction() as connection:
        kept = {
            table: await connection.fetchval(f"SELECT json_agg(t)::text FROM {table} AS t WHERE {where}", accounts)
            for table, where in _TABLES.items()
        }
        await connection.execute(";".join(map(book.fill, statements)))
    try:
        yield
    finally:
        async with owner.transaction() as connection:
            for table, rows in kept.items():
                await _put_back(connection, table, rows, accounts)


async def _put_back(connection: Connection, table: str, rows: str, accounts: list[UUID]) -> None:
    await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    await connection.execute(f"DELETE FROM {table} WHERE {_TABLES[table]}", accounts)
    await connection.execute(f"INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, $1)", rows)
    await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def _entry(changes: str, seq: int) -> str:
    return f"UPDATE ledger.ledger_entries SET {changes} WHERE account_id = {{account}} AND account_seq = {seq}"


def _cent_in_an_entry(seq: int) -> str:
    return _entry("amount_minor = amount_minor + 1, balance_after_minor = balance_after_minor + 1", seq)


_CENT_IN_THE_ACCOUNT = "UPDATE transfer.accounts SET balance_minor = balance_minor {} 1 WHERE id = {{account}}"
_GONE = "DELETE FROM ledger.ledger_entries WHERE account_id = {{account}} AND account_seq = {}"
_SWAPPED = [_entry("account_seq = 99", 2), _entry("account_seq = 2", 3), _entry("account_seq = 3", 99)]

# What is done by hand, the check that finds it, and what that check names.
_INJECTED: dict[str, tuple[Sequence[str], str, str]] = {
    "a cent more in the account": ([_CENT_IN_THE_ACCOUNT.format("+")], "balance_matches", "account 15.01"),
    "a cent less in the account": ([_CENT_IN_THE_ACCOUNT.format("-")], "balance_matches", "account 14.99"),
    "a cent in an entry": ([_cent_in_an_entry(2)], "chained", "position 3 "),
    "a cent in the newest entry": ([_cent_in_an_entry(5)], "balance_matches", "position 5 "),
    "two entries swapped": (_SWAPPED, "chained", "position 2 "),
    "an entry gone": ([_GONE.format(3), _AGED], "missing_entry", "position 3 "),
    "the first entry gone": ([_GONE.format(1), _AGED], "missing_entry", "position 1 "),
    "the newest entry gone": ([_GONE.format(5), _AGED], "missing_entry", "position 5 "),
    "all entries gone": (["DELETE FROM ledger.ledger_entries WHERE account_id = {account}", _AGED], "missing_entry",
                         "position 1 "),
}  # fmt: skip


def _broken(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["detail"] for check in found["checks"] if not check["ok"]}


@pytest.mark.parametrize("injected", _INJECTED)
async def test_an_injected_difference_is_found_and_named(whole: Whole, book: Book, injected: str) -> None:
    statements, check, named = _INJECTED[injected]
    async with tampered(whole.owner, book, statements):
        found = whole.bank.admin.get(f"/admin/ledger/verify/{book.account}")
        everything = whole.bank.admin.get("/admin/ledger/verify")
        other = whole.bank.admin.get(f"/admin/ledger/verify/{book.source}")
    assert (found["account_id"], found["status"]) == (book.account, "mismatch")
    assert named in _broken(found)[check], found["checks"]
    # The whole book names the same account and no other.
    assert everything["status"] == "mismatch"
    assert [one["account_id"] for one in everything["mismatches"]] == [book.account]
    assert check in _broken(everything["mismatches"][0])
    assert other["status"] == "verified"


@pytest.mark.parametrize("seq", [1, 3, 5])
async def test_an_entry_that_is_young_and_missing_is_on_its_way(whole: Whole, book: Book, seq: int) -> None:
    """Mere lag is never a difference: the transfer settled a moment ago, and its entry has not come yet."""
    young = "UPDATE transfer.transactions SET settled_at = clock_timestamp() WHERE to_account_id = {account}"
    async with tampered(whole.owner, book, [_GONE.format(seq), young]):
        found = whole.bank.admin.get(f"/admin/ledger/verify/{book.account}")
        everything = whole.bank.admin.get("/admin/ledger/verify")
    assert (found["status"], found["ledger_position"], _broken(found)) == ("catching_up", seq - 1, {})
    assert (everything["status"], everything["mismatches"]) == ("catching_up", [])


async def test_a_statement_ends_before_the_first_entry_that_is_missing(whole: Whole, book: Book) -> None:
    """Entries come in any order, and a client who has read past a gap would never look back for what fills it."""
    path = f"/accounts/{book.account}/entries"
    async with tampered(whole.owner, book, [_GONE.format(3)]):
        behind = whole.bank.admin.get(path)
    assert [entry["account_seq"] for entry in behind["items"]] == [2, 1]
    assert behind["next_cursor"] is None
    assert [entry["account_seq"] for entry in whole.bank.admin.get(path)["items"]] == [5, 4, 3, 2, 1]


async def test_all_is_put_back(whole: Whole, book: Book) -> None:
    """So that what the tests above found is what they did."""
    async with tampered(whole.owner, book, [*_SWAPPED, _GONE.format(5), _AGED]):
        assert whole.bank.admin.get(f"/admin/ledger/verify/{book.account}")["status"] == "mismatch"
    found = whole.bank.admin.get(f"/admin/ledger/verify/{book.account}")
    assert (found["status"], found["entries"], found["total_credits"]) == ("verified", 5, "15.00")
    assert whole.bank.admin.get("/admin/ledger/verify")["mismatches"] == []
