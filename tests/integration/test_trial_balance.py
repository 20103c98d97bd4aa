"""The trial balance against the entries themselves, even and uneven; and one reading for all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from services.gateway.reads import trial_balance
from services.gateway.reads.trial_balance import TrialBalances
from shared.database import Database, open_database
from shared.money import to_text
from tests.support.databases import Inside, undone

_ENTRY = """
    INSERT INTO ledger.ledger_entries (account_id, transfer_id, id, account_seq, amount_minor, balance_before_minor,
                                       balance_after_minor, created_at, direction, currency)
    VALUES ($1, $2, gen_random_uuid(), $3, $4::bigint, 0, CASE $5 WHEN 'credit' THEN $4::bigint ELSE -$4::bigint END,
            now(), $5, $6)
"""


@pytest.fixture
async def book(owner: Database) -> AsyncIterator[Inside]:
    """A book of three transfers, in two currencies; whatever else stands in it is not seen."""
    async with undone(owner) as database:
        await database.fetch("ALTER TABLE ledger.ledger_entries DISABLE TRIGGER USER")
        await database.fetch("DELETE FROM ledger.ledger_entries")
        accounts = [uuid4() for _ in range(3)]
        for seq, currency, amount in ((1, "USD", 1_000), (2, "USD", 250)):
            transfer_id = uuid4()
            await database.fetch(_ENTRY, accounts[0], transfer_id, seq, amount, "credit", currency)
            await database.fetch(_ENTRY, accounts[1], transfer_id, seq, amount, "debit", currency)
        await database.fetch(_ENTRY, accounts[2], (yens := uuid4()), 1, 7, "credit", "JPY")
        await database.fetch(_ENTRY, uuid4(), yens, 1, 7, "debit", "JPY")
        yield database


async def test_each_currency_is_added_up_on_its_own(book: Inside) -> None:
    found = await TrialBalances(book).now()
    assert found.status == "balanced"
    assert {
        code: (one.debits, one.credits, one.difference, one.accounts, one.entries)
        for code, one in found.currencies.items()
    } == {"JPY": ("7", "7", "0", 2, 2), "USD": ("12.50", "12.50", "0.00", 2, 4)}
    newest = await book.fetchval("SELECT max(recorded_at) FROM ledger.ledger_entries")
    assert found.newest_entry_at == newest < found.as_of


@pytest.mark.parametrize(
    ("tampering", "difference"),
    [
        ("DELETE FROM ledger.ledger_entries WHERE amount_minor = 250 AND direction = 'credit'", "2.50"),
        (
            """
            UPDATE ledger.ledger_entries SET amount_minor = 260, balance_after_minor = -260
             WHERE amount_minor = 250 AND direction = 'debit'
            """,
            "0.10",
        ),
        ("DELETE FROM ledger.ledger_entries WHERE amount_minor = 1000 AND direction = 'debit'", "-10.00"),
    ],
)
async def test_a_book_that_somebody_has_been_at_is_uneven(book: Inside, tampering: str, difference: str) -> None:
    await book.fetch(tampering)
    found = await TrialBalances(book).now()
    assert (found.status, found.currencies["USD"].difference) == ("unbalanced", difference)
    assert found.currencies["JPY"].difference == "0"


async def test_an_empty_book_is_even(book: Inside) -> None:
    await book.fetch("DELETE FROM ledger.ledger_entries")
    found = await TrialBalances(book).now()
    assert (found.status, found.newest_entry_at, found.currencies) == ("balanced", None, {})


async def test_the_gateways_role_reads_it(servers: Stack, owner: Database) -> None:
    url = servers.service_settings("gateway")["REMIT_GATEWAY_READS_LEDGER_POSTGRES_URL"]
    async with open_database(url, name="tests", schema="ledger") as database:
        found = await TrialBalances(database).now()
    sums = await owner.fetch(
        """
        SELECT currency, sum(amount_minor)::bigint AS minor FROM ledger.ledger_entries
         WHERE direction = 'debit' GROUP BY 1
        """
    )
    assert {code: one.debits for code, one in found.currencies.items()} == {
        row["currency"]: to_text(row["minor"], row["currency"]) for row in sums
    }


class Slow(Inside):
    """Counts readings, and holds each until it is let go."""

    def __init__(self, inside: Inside) -> None:
        super().__init__(inside.connection)
        self.readings = 0
        self.goes_on = asyncio.Event()
        self.error: Exception | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        self.readings += 1
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error
        async with super().transaction() as connection:
            yield connection


async def test_one_reading_serves_all_who_ask_while_it_goes_on_and_for_a_while(
    book: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow(book)
    balances = TrialBalances(slow)
    asking = [asyncio.create_task(balances.now()) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    slow.goes_on.set()
    found = await asyncio.gather(*asking[1:])
    assert [*found, await balances.now()] == [found[0]] * 5
    assert slow.readings == 1
    monkeypatch.setattr(trial_balance, "_RESTS", -2)
    monkeypatch.setattr(trial_balance, "_SHARED_S_MIN", -1.0)
    assert (await balances.now()).as_of > found[0].as_of
    assert slow.readings == 2


async def test_a_reading_that_fails_is_not_given_to_the_next_and_one_in_flight_is_given_up_at_the_end(
    book: Inside,
) -> None:
    slow = Slow(book)
    slow.error = TimeoutError()
    slow.goes_on.set()
    balances = TrialBalances(slow)
    with pytest.raises(TimeoutError):
        await balances.now()
    slow.error = None
    assert (await balances.now()).status == "balanced"
    hanging = TrialBalances(Slow(book))
    waiting = asyncio.create_task(hanging.now())
    await asyncio.sleep(0)
    await hanging.drain()
    with pytest.raises(asyncio.CancelledError):
        await waiting
