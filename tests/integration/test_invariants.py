"""The invariants over a real book: silent while it is whole, and each tampering is found by the one that names it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import Stack
from remit.invariants import INVARIANTS, Book, Result, Status, check_all, worst
from remit.invariants.book import View
from shared.contracts.gateway import Kind
from shared.contracts.transfer import FailureReason, TransferSettled
from shared.contracts.transfer import Status as End
from shared.database import Database
from shared.ids import settlement_account_id
from tests.support.builders import BOB, requested
from tests.support.databases import Inside, undone, wipe
from tests.support.services import Services, deposit, ids, in_process

# Seconds. With the first whatever is missing counts as lost, with the second as on its way.
LOST, ON_ITS_WAY = 0.000001, 3_600.0


@dataclass(frozen=True)
class Facts:
    """What a tampering needs to name."""

    account: UUID
    other_account: UUID
    completed: TransferSettled
    refused: TransferSettled
    blocked: TransferSettled

    def fill(self, statement: str) -> str:
        """`statement` with these ids in place of their names."""
        names = {
            "account": self.account,
            "other_account": self.other_account,
            **{name: getattr(self, name).instruction.transfer_id for name in ("completed", "refused", "blocked")},
        }
        return statement.format(**{name: f"'{value}'" for name, value in names.items()})


@pytest.fixture(scope="module")
async def facts(servers: Stack, owner: Database) -> AsyncIterator[Facts]:
    """A book of every kind of end, which nobody but the tests below has seen."""
    await wipe(owner)
    async with in_process(servers) as services:
        yield await _book(services)
    await wipe(owner)


async def _book(services: Services) -> Facts:
    opened = [*await services.open_accounts(2), *await services.open_accounts(1, BOB)]
    await services.tell(opened)
    a, b, c = ids(opened)
    await services.transfer_all(*(deposit(account, 10_000) for account in (a, b, c)))
    moved = await services.transfer_all(
        *(requested(from_account_id=x, to_account_id=y, amount_minor=100) for x, y in ((a, b), (b, c), (a, c), (a, b))),
        requested(from_account_id=a, to_account_id=b, amount_minor=99_999),
        requested(from_account_id=a, to_account_id=uuid4()),
        requested(from_account_id=a, to_account_id=b, amount_minor=100_000_001),
        requested(from_account_id=c, to_account_id=a, owner_id=BOB, caller_id=BOB, amount_minor=10_200),
        requested(
            kind=Kind.WITHDRAWAL, from_account_id=b, to_account_id=settlement_account_id("USD"), amount_minor=1_000
        ),
    )
    ends = [(settled.status, settled.failure_reason) for settled in moved]
    assert ends[:4] == [(End.COMPLETED, None)] * 4
    assert ends[4:7] == [
        (End.FAILED, FailureReason.INSUFFICIENT_FUNDS),
        (End.FAILED, FailureReason.DESTINATION_NOT_FOUND),
        (End.BLOCKED, None),
    ]
    assert ends[7:] == [(End.COMPLETED, None)] * 2
    return Facts(account=a, other_account=b, completed=moved[2], refused=moved[4], blocked=moved[6])


@asynccontextmanager
async def unguarded(owner: Database) -> AsyncIterator[Inside]:
    """A transaction, undone at the end, in which no trigger and no constraint guards anything from its owner."""
    async with undone(owner) as inside:
        for table in ("audit.audit_logs", "audit.event_ids", "ledger.ledger_entries"):
            await inside.fetch(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        checks = await inside.fetch(
            """
            SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
             WHERE contype = 'c' AND conislocal AND coninhcount = 0
               AND conrelid = ANY('{transfer.accounts, transfer.transactions, ledger.ledger_entries,
                                    fraud.decisions}'::regclass[])
            """
        )
        for check in checks:
            await inside.fetch(check[0])
        yield inside


async def judge(inside: Inside, lag_s: float = LOST) -> dict[str, Result]:
    """What each invariant says of the book as it is inside this transaction."""
    connection = inside.connection
    views = {schema: View(schema, inside, connection) for schema in ("ledger", "audit", "transfer", "fraud")}
    book = Book(**views, lag_s=lag_s)
    results = [await invariant(book) for invariant in INVARIANTS]
    return {result.name: result for result in results}


def found(results: dict[str, Result], status: Status) -> set[str]:
    return {name for name, result in results.items() if result.status is status}


async def test_a_whole_book_satisfies_every_invariant(servers: Stack, facts: Facts) -> None:
    results = await check_all({**servers.env, "REMIT_LEDGER_MAX_LAG_S": "0.000001"}, strict=True)
    assert [result for result in results if result.status is not Status.OK] == []
    assert worst(results) is Status.OK
    assert len({result.name for result in results}) == len(INVARIANTS) + 1
    figures = {result.name: result.figure for result in results}
    assert figures["conserved"] == "customers hold 290.00 USD"
    assert figures["ended consistently"] == "1 blocked, 9 completed, 2 failed"
    assert figures["entries match postings"] == "18 postings"


async def test_the_same_holds_inside_a_transaction_without_guards(owner: Database, facts: Facts) -> None:
    """So that what the tests below find is what they did."""
    async with unguarded(owner) as inside:
        results = await judge(inside)
    assert found(results, Status.OK) == set(results)


# What is done by hand, and every invariant that it breaches; the first named is the one that exists for it.
_TAMPERINGS: list[tuple[str, str, set[str]]] = [
    (
        "a cent in an account",
        "UPDATE transfer.accounts SET balance_minor = balance_minor + 1 WHERE id = {account}",
        {"ledger equals accounts", "conserved"},
    ),
    (
        "a cent from one account to another",
        """UPDATE transfer.accounts SET balance_minor = balance_minor + CASE id WHEN {account} THEN 1 ELSE -1 END
            WHERE id IN ({account}, {other_account})""",
        {"ledger equals accounts"},
    ),
    (
        "an account below zero",
        "UPDATE transfer.accounts SET balance_minor = -1 WHERE id = {account}",
        {"nobody overdrawn", "ledger equals accounts", "conserved"},
    ),
    ("a position", "UPDATE transfer.accounts SET account_seq = account_seq + 1 WHERE id = {account}", {"contiguous"}),
    (
        "an account gone",
        "DELETE FROM transfer.accounts WHERE id = {account}",
        {"contiguous", "ledger equals accounts", "conserved"},
    ),
    (
        "a cent in an entry",
        """UPDATE ledger.ledger_entries
              SET amount_minor = amount_minor + 1, balance_after_minor = balance_after_minor - 1
            WHERE transfer_id = {completed} AND direction = 'debit'""",
        {"ledger equals accounts", "entries match postings", "debits equal credits"},
    ),
    (
        "a cent in both entries of a transfer",
        "UPDATE ledger.ledger_entries SET amount_minor = amount_minor + 1 WHERE transfer_id = {completed}",
        {"ledger equals accounts", "entries match postings"},
    ),
    (
        "the balance of an entry",
        """UPDATE ledger.ledger_entries
              SET balance_before_minor = balance_before_minor + 1, balance_after_minor = balance_after_minor + 1
            WHERE transfer_id = {completed} AND direction = 'debit'""",
        {"entries match postings"},
    ),
    (
        "an entry gone",
        "DELETE FROM ledger.ledger_entries WHERE transfer_id = {completed} AND direction = 'debit'",
        {"entries match postings", "debits equal credits"},
    ),
    (
        "both entries gone",
        "DELETE FROM ledger.ledger_entries WHERE transfer_id = {completed}",
        {"entries match postings"},
    ),
    (
        "debit and credit swapped",
        """UPDATE ledger.ledger_entries SET direction = CASE direction WHEN 'debit' THEN 'credit ' ELSE 'debit ' END
            WHERE transfer_id = {completed};
           UPDATE ledger.ledger_entries SET direction = trim(direction) WHERE transfer_id = {completed}""",
        {"ledger equals accounts", "entries match postings"},
    ),
    (
        "entries of a transfer that never was",
        """INSERT INTO ledger.ledger_entries
           SELECT account_id, gen_random_uuid(), gen_random_uuid(), 1000, amount_minor, balance_before_minor,
                  balance_after_minor, created_at, recorded_at, direction, currency
             FROM ledger.ledger_entries WHERE transfer_id = {completed}""",
        {"ledger equals accounts", "entries match postings"},
    ),
    (
        "a completed transfer that says failed",
        "UPDATE transfer.transactions SET status = 'failed', failure_reason = 'internal_error' WHERE id = {completed}",
        {"contiguous", "audited", "entries match postings", "ended consistently", "chained", "released"},
    ),
    (
        "a transfer gone",
        "DELETE FROM transfer.transactions WHERE id = {completed}",
        {"contiguous", "audited", "decided once", "chained", "entries match postings"},
    ),
    (
        "the amount of a transfer",
        "UPDATE transfer.transactions SET amount_minor = 101 WHERE id = {completed}",
        {"decided once", "ended consistently", "entries match postings"},
    ),
    (
        "the balances of a posting",
        """UPDATE transfer.transactions SET debit_balance_before_minor = debit_balance_before_minor + 1,
                  debit_balance_after_minor = debit_balance_after_minor + 1 WHERE id = {completed}""",
        {"chained", "entries match postings"},
    ),
    (
        "the position of a posting",
        "UPDATE transfer.transactions SET debit_seq = debit_seq + 100 WHERE id = {completed}",
        {"contiguous", "entries match postings", "chained"},
    ),
    (
        "what a refusal saw",
        "UPDATE transfer.transactions SET seen_balance_minor = seen_balance_minor - 1 WHERE id = {refused}",
        {"refusals justified"},
    ),
    (
        "a refusal of what could be paid",
        "UPDATE transfer.transactions SET amount_minor = 1 WHERE id = {refused}",
        {"decided once", "refusals justified"},
    ),
    (
        "a blocked transfer that says failed",
        "UPDATE transfer.transactions SET status = 'failed' WHERE id = {blocked}",
        {"audited", "ended consistently", "released"},
    ),
    ("a decision gone", "DELETE FROM fraud.decisions WHERE transfer_id = {completed}", {"decided once", "audited"}),
    (
        "the amount of a decision",
        "UPDATE fraud.decisions SET amount_minor = 99 WHERE transfer_id = {completed}",
        {"decided once"},
    ),
    (
        "a verdict",
        "UPDATE fraud.decisions SET verdict = 'approved' WHERE transfer_id = {blocked}",
        {"decided once", "audited"},
    ),
    ("a release gone", "UPDATE fraud.decisions SET released_at = NULL WHERE transfer_id = {refused}", {"released"}),
    (
        "a release of what was completed",
        "UPDATE fraud.decisions SET released_at = decided_at WHERE transfer_id = {completed}",
        {"released"},
    ),
    (
        "an event that audit lacks",
        """DELETE FROM audit.audit_logs WHERE resource_id = {completed} AND action = 'TRANSFER'""",
        {"audited", "audit chain"},
    ),
    (
        "a status in the log",
        "UPDATE audit.audit_logs SET status = 'blocked' WHERE resource_id = {completed}",
        {"audited", "audit chain"},
    ),
    (
        "an event of another transfer",
        "UPDATE audit.audit_logs SET resource_id = gen_random_uuid()::text WHERE resource_id = {completed}",
        {"audit ids derived", "audited", "audit chain"},
    ),
    (
        "the id of an event",
        """UPDATE audit.audit_logs SET event_id = gen_random_uuid()
            WHERE resource_id = {completed} AND action = 'TRANSFER'""",
        {"audit ids derived", "audit chain"},
    ),
    ("who asked", "UPDATE audit.audit_logs SET user_id = NULL WHERE resource_id = {completed}", {"audit chain"}),
]


@pytest.mark.parametrize(
    ("tampering", "breached"), [pytest.param(sql, names, id=title) for title, sql, names in _TAMPERINGS]
)
async def test_a_tampering_is_found(owner: Database, facts: Facts, tampering: str, breached: set[str]) -> None:
    async with unguarded(owner) as inside:
        for statement in facts.fill(tampering).split(";"):
            await inside.fetch(statement)
        results = await judge(inside)
    assert found(results, Status.BREACH) == breached


_MISSING = {
    "both entries gone": "entries match postings",
    "an entry gone": "entries match postings",
    "a transfer gone": "decided once",
    "a release gone": "released",
    "an event that audit lacks": "audited",
}


@pytest.mark.parametrize(
    ("tampering", "waiting"), [pytest.param(sql, _MISSING[t], id=t) for t, sql, _ in _TAMPERINGS if t in _MISSING]
)
async def test_what_is_missing_and_young_is_on_its_way(
    owner: Database, facts: Facts, tampering: str, waiting: str
) -> None:
    async with unguarded(owner) as inside:
        await inside.fetch(facts.fill(tampering))
        results = await judge(inside, ON_ITS_WAY)
    assert results[waiting].status is Status.CATCHING_UP


@pytest.mark.parametrize(
    ("tampering", "breached"),
    [pytest.param(sql, names, id=t) for t, sql, names in _TAMPERINGS if t in {"the balance of an entry", "a verdict"}],
)
async def test_youth_excuses_nothing_that_is_wrong(
    owner: Database, facts: Facts, tampering: str, breached: set[str]
) -> None:
    async with unguarded(owner) as inside:
        await inside.fetch(facts.fill(tampering))
        results = await judge(inside, ON_ITS_WAY)
    assert found(results, Status.BREACH) == breached
