"""`remit rebuild ledger`: whatever became of the ledger, transfer's rows give it back, entry by entry."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from deploy.local.remit_program import run_remit
from deploy.local.stack import Stack
from remit.errors import CommandError
from remit.invariants import Status, check_all
from remit.rebuild import ledger
from remit.rebuild.ledger import rebuild
from shared.database import Database
from tests.support.builders import ALICE, requested
from tests.support.databases import wipe
from tests.support.services import Services, deposit, ids, in_process


@pytest.fixture
async def services(servers: Stack, owner: Database) -> AsyncIterator[Services]:
    """Four transfers, one of which moved nothing; the ledger knows them all."""
    await wipe(owner)
    async with in_process(servers) as services:
        alice, bob = ids(await services.open_accounts(2))
        await services.transfer_all(deposit(alice, 1_000))
        await services.transfer_all(
            *(requested(from_account_id=alice, to_account_id=bob, amount_minor=n, owner_id=ALICE) for n in (100, 200)),
            requested(from_account_id=alice, to_account_id=bob, amount_minor=99_999, owner_id=ALICE),
        )
        yield services
    await wipe(owner)


async def _entries(owner: Database) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await owner.fetch("SELECT * FROM ledger.ledger_entries ORDER BY 1, 4")]


async def test_a_ledger_in_order_is_what_its_rebuilding_gives(
    servers: Stack, services: Services, owner: Database
) -> None:
    """To the id, and to the moment at which each transfer was settled; nothing is put anywhere."""
    before = await _entries(owner)
    found = await rebuild(servers.env, apply=True)
    assert (found.entries, found.differences, found.is_in_place) == (6, {}, False)
    assert await _entries(owner) == before


_SPOILED = {
    "missing": "DELETE FROM ledger.ledger_entries WHERE account_seq = 2",
    "wrong": "UPDATE ledger.ledger_entries SET created_at = created_at - interval '1 day' WHERE direction = 'debit'",
    "extra": """
        INSERT INTO ledger.ledger_entries (id, transfer_id, direction, account_id, account_seq, amount_minor, currency,
                                           balance_before_minor, balance_after_minor, created_at)
        SELECT gen_random_uuid(), '00000000-0000-0000-0000-00000000dead', side, account_id, 99, 5, 'USD', 10,
               CASE side WHEN 'debit' THEN 5 ELSE 15 END, now()
          FROM (SELECT account_id, CASE row_number() OVER () WHEN 1 THEN 'debit' ELSE 'credit' END AS side
                  FROM (SELECT DISTINCT account_id FROM ledger.ledger_entries LIMIT 2) AS two) AS sides""",
}


@pytest.mark.parametrize("what", _SPOILED)
async def test_a_spoiled_ledger_is_told_first_and_mended_when_that_is_asked_for(
    servers: Stack, services: Services, owner: Database, what: str
) -> None:
    """What stood rightly keeps the moment at which it was booked."""
    before = await _entries(owner)
    await owner.fetch(_SPOILED[what])
    spoiled = await _entries(owner)
    told = await rebuild(servers.env, apply=False)
    assert set(told.differences) == {what}
    assert len(told.first) == told.differences[what]
    assert await _entries(owner) == spoiled
    mended = await rebuild(servers.env, apply=True)
    assert (mended.is_in_place, mended.differences) == (True, told.differences)
    if what == "missing":
        # Of those that were gone nobody knows when they were first booked.
        assert [row[:8] for row in await _entries(owner)] == [row[:8] for row in before]
    else:
        assert await _entries(owner) == before
    assert {result.status for result in await check_all(servers.env)} == {Status.OK}


async def test_the_worker_goes_on_with_a_ledger_made_anew(servers: Stack, services: Services, owner: Database) -> None:
    """Its role may book, the keys and the trigger are there, and what comes again is known."""
    await owner.fetch(_SPOILED["missing"])
    await rebuild(servers.env, apply=True)
    [account] = ids(await services.open_accounts(1))
    settled = await services.transfer_all(deposit(account, 500))
    assert await services.ledger.book(settled) == (0, [])
    assert {result.status for result in await check_all(servers.env)} == {Status.OK}


async def test_what_cannot_be_proven_is_not_put_in_place(
    servers: Stack, services: Services, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await owner.fetch(_SPOILED["wrong"])
    spoiled = await _entries(owner)
    whole = ledger._entries
    monkeypatch.setattr(ledger, "_entries", lambda row: list(whole(row)) if row["amount_minor"] != 200 else [])
    with pytest.raises(CommandError, match="nothing was changed"):
        await rebuild(servers.env, apply=True)
    assert await _entries(owner) == spoiled


async def test_the_program_tells_by_its_exit_code(servers: Stack, services: Services, owner: Database) -> None:
    await owner.fetch(_SPOILED["missing"])
    codes = [run_remit(("rebuild", "ledger", *more), servers.env, timeout_s=60) for more in ((), (), ("--apply",), ())]
    assert codes == [1, 1, 0, 0]
