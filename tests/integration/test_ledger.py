"""Ledger on real servers: two entries a completed transfer, in whatever order and however often they come."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from deploy.local.stack import Stack
from services.ledger.handlers import handlers
from services.ledger.service import open_service
from services.ledger.settings import settings_from
from services.ledger.store import Store
from shared.contracts.transfer import FailureReason, Posting, Status, TransferSettled
from shared.database import Database
from shared.database.pool import SchemaOutOfStep
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.retry import ServerDown, carry
from tests.support.broker import BrokerProbe
from tests.support.builders import instruction, settled
from tests.support.databases import several
from tests.support.running import running
from tests.support.waiting import eventually


@pytest.fixture
async def databases(servers: Stack) -> AsyncIterator[list[Database]]:
    async with several(servers.env["REMIT_LEDGER_POSTGRES_URL"], schema="ledger") as databases:
        yield databases


@pytest.fixture
def store(databases: list[Database]) -> Store:
    return Store(databases[0])


def history(count: int) -> list[TransferSettled]:
    """So many transfers of 10.00 from one account to another, as they settled one after the other."""
    a, b = uuid4(), uuid4()
    return [_nth(a, b, n) for n in range(count)]


def _nth(a: UUID, b: UUID, n: int) -> TransferSettled:
    left, right = -1_000 * n, 1_000 * n
    return settled(
        instruction=instruction(from_account_id=a, to_account_id=b),
        debit=Posting(account_id=a, account_seq=n + 1, balance_before_minor=left, balance_after_minor=left - 1_000),
        credit=Posting(account_id=b, account_seq=n + 1, balance_before_minor=right, balance_after_minor=right + 1_000),
    )


async def entries(owner: Database, *items: TransferSettled) -> list[tuple[Any, ...]]:
    """Everything that stands under these transfers, by account and position, but for when it was recorded."""
    rows = await owner.fetch(
        """
        SELECT transfer_id, direction, account_id, account_seq, amount_minor, currency,
               balance_before_minor, balance_after_minor, created_at
          FROM ledger.ledger_entries WHERE transfer_id = ANY($1::uuid[]) ORDER BY account_seq, direction DESC
        """,
        [item.instruction.transfer_id for item in items],
    )
    return [tuple(row) for row in rows]


def both_sides(item: TransferSettled) -> list[tuple[Any, ...]]:
    """What is to stand there."""
    asked = item.instruction
    return [
        (
            asked.transfer_id,
            direction,
            posting.account_id,
            posting.account_seq,
            asked.amount_minor,
            asked.currency,
            posting.balance_before_minor,
            posting.balance_after_minor,
            item.settled_at,
        )
        for direction, posting in (("debit", item.debit), ("credit", item.credit))
        if posting is not None
    ]


async def test_a_completed_transfer_has_a_debit_and_a_credit(store: Store, owner: Database) -> None:
    [item] = history(1)
    assert await store.book([item]) == (2, [])
    found = await entries(owner, item)
    assert found == both_sides(item)
    assert [entry[1] for entry in found] == ["debit", "credit"]


async def test_what_moved_nothing_has_no_entry(store: Store, owner: Database) -> None:
    blocked = settled(status=Status.BLOCKED, debit=None, credit=None)
    failed = settled(status=Status.FAILED, failure_reason=FailureReason.DESTINATION_NOT_FOUND, debit=None, credit=None)
    assert await store.book([blocked, failed]) == (0, [])
    assert await entries(owner, blocked, failed) == []


async def test_duplicates_and_any_order_give_the_same_book(store: Store, owner: Database) -> None:
    """Backwards, at random, twice in a batch and once more afterwards."""
    items = history(20)
    shuffled = random.Random(7).sample(items, 20)  # noqa: S311 - any order will do, the same each time
    assert await store.book([*items[15:][::-1], *items[18:]]) == (10, [])
    assert await store.book(shuffled) == (30, [])
    assert await store.book(items) == (0, [])
    assert await entries(owner, *items) == [side for item in items for side in both_sides(item)]


async def test_four_workers_with_the_same_transfers_book_them_once(databases: list[Database], owner: Database) -> None:
    """Whoever comes second fails on the key, runs its whole batch again, and has nothing left to do."""
    items = history(50)

    async def work(n: int) -> None:
        letters = DeadLetters(databases[n])
        handler = handlers(databases[n], Store(databases[n]), letters)[TransferSettled.TYPE]
        await carry(handler, items if n % 2 else items[::-1])

    await asyncio.gather(*(work(n) for n in range(4)))
    assert await entries(owner, *items) == [side for item in items for side in both_sides(item)]
    assert await parked(owner, items[0]) == []


async def parked(owner: Database, item: TransferSettled) -> list[tuple[str, str]]:
    rows = await owner.fetch(
        "SELECT reason, detail FROM ledger.dead_letters WHERE item LIKE '%' || $1::text || '%'",
        str(item.instruction.transfer_id),
    )
    return [tuple(row) for row in rows]


def _another_balance(item: TransferSettled) -> TransferSettled:
    """The same transfer, told with a balance that is one minor unit off."""
    assert item.credit is not None
    credit = msgspec.structs.replace(
        item.credit,
        balance_before_minor=item.credit.balance_before_minor + 1,
        balance_after_minor=item.credit.balance_after_minor + 1,
    )
    return msgspec.structs.replace(item, credit=credit)


def _another_transfer(item: TransferSettled) -> TransferSettled:
    """Another transfer at the same position of the same account."""
    fresh = history(1)[0]
    assert item.debit is not None
    asked = msgspec.structs.replace(fresh.instruction, from_account_id=item.debit.account_id)
    return msgspec.structs.replace(fresh, instruction=asked, debit=item.debit)


def _without_credit(item: TransferSettled) -> TransferSettled:
    return msgspec.structs.replace(history(1)[0], credit=None)


@pytest.mark.parametrize(
    ("contradiction", "detail"),
    [
        (_another_balance, "balance_before_minor"),
        (_another_transfer, "the debit differs from the entry at"),
        (_without_credit, "a posting is missing"),
    ],
)
async def test_a_contradiction_is_parked_and_overwrites_nothing(
    databases: list[Database], store: Store, owner: Database, contradiction: Any, detail: str
) -> None:
    """The rest of its batch is booked; what is booked stands."""
    first, second = history(2)
    await store.book([first])
    other = contradiction(first)
    handler = handlers(databases[0], store, DeadLetters(databases[0]))[TransferSettled.TYPE]
    for _ in range(2):
        await carry(handler, [other, second])
    [(reason, told)] = await parked(owner, other)
    assert reason == "ledger_difference"
    assert detail in told
    assert await entries(owner, first, second, other) == both_sides(first) + both_sides(second)


_INSERT = """
    INSERT INTO ledger.ledger_entries (id, transfer_id, direction, account_id, account_seq, amount_minor, currency,
                                       balance_before_minor, balance_after_minor, created_at)
    SELECT gen_random_uuid(), $1, direction, gen_random_uuid(), 1, amount, currency, 0,
           CASE direction WHEN 'credit' THEN amount ELSE -amount END, now()
      FROM unnest($2::text[], $3::bigint[], $4::text[]) AS side (direction, amount, currency)
"""


@pytest.mark.parametrize(
    ("directions", "amounts", "currencies"),
    [
        (["debit"], [10], ["USD"]),
        (["debit", "credit"], [10, 11], ["USD", "USD"]),
        (["debit", "credit"], [10, 10], ["USD", "EUR"]),
    ],
)
async def test_the_database_refuses_debits_that_are_not_credits(
    owner: Database, directions: list[str], amounts: list[int], currencies: list[str]
) -> None:
    """Even from the owner of the table, whom no grant holds back."""
    transfer_id = uuid4()
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await owner.fetch(_INSERT, transfer_id, directions, amounts, currencies)
    assert refused.value.constraint_name == "entries_balance"
    assert await owner.fetch("SELECT 1 FROM ledger.ledger_entries WHERE transfer_id = $1", transfer_id) == []


async def test_the_database_takes_debits_that_are_credits(owner: Database) -> None:
    """So that the refusals above are for their imbalance and nothing else."""
    transfer_id = uuid4()
    await owner.fetch(_INSERT, transfer_id, ["debit", "credit"], [10, 10], ["USD", "USD"])
    assert len(await owner.fetch("SELECT 1 FROM ledger.ledger_entries WHERE transfer_id = $1", transfer_id)) == 2


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("amount_minor = -amount_minor", "entry_amount_positive"),
        ("balance_after_minor = balance_after_minor + 1", "entry_balance_moves"),
        ("balance_before_minor = 5, balance_after_minor = 5 - amount_minor", "entry_first_from_zero"),
    ],
)
async def test_the_database_refuses_an_entry_that_does_not_explain_its_balance(
    store: Store, owner: Database, change: str, constraint: str
) -> None:
    [item] = history(1)
    await store.book([item])
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await owner.fetch(
            f"UPDATE ledger.ledger_entries SET {change} WHERE transfer_id = $1 AND direction = 'debit'",
            item.instruction.transfer_id,
        )
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.ledger_entries SET amount_minor = amount_minor",
        "DELETE FROM ledger.ledger_entries",
        "TRUNCATE ledger.ledger_entries",
        "ALTER TABLE ledger.ledger_entries DISABLE TRIGGER ALL",
    ],
)
async def test_the_service_can_neither_change_nor_remove_an_entry(databases: list[Database], statement: str) -> None:
    with pytest.raises(SchemaOutOfStep, match=r"permission denied|must be owner"):
        await databases[0].fetch(statement)


async def test_the_worker_books_what_is_settled_once(servers: Stack, broker: BrokerProbe, owner: Database) -> None:
    items = history(30)
    settings = settings_from({**servers.service_settings("ledger"), "REMIT_LEDGER_HTTP_PORT": "0"})
    async with open_service(settings) as worker, running(worker):
        for part in (items[20:], items[:20], items):
            await broker.publish(part)

        async def is_booked() -> bool:
            return len(await entries(owner, *items)) == 60 and await broker.ready("ledger.settled") == 0

        await eventually(is_booked)
    assert await entries(owner, *items) == [side for item in items for side in both_sides(item)]
    assert await parked(owner, items[0]) == []


@pytest.mark.usefixtures("short_locks")
async def test_a_book_that_is_locked_for_its_rebuilding_is_waited_for_and_nothing_is_parked(
    databases: list[Database], store: Store, owner: Database
) -> None:
    """`remit rebuild ledger` holds this lock for as long as it reads all transfers."""
    items, letters = history(3), "SELECT count(*) FROM ledger.dead_letters"
    table = handlers(databases[0], store, DeadLetters(databases[0]))
    handler = replace(table[TransferSettled.TYPE], waits_s=(0.0,))
    before = await owner.fetchval(letters)
    async with owner.transaction() as connection:
        await connection.execute("LOCK TABLE ledger.ledger_entries IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(ServerDown):
            await carry(handler, items)
    await carry(handler, items)
    assert len(await entries(owner, *items)) == 6
    assert await owner.fetchval(letters) == before
