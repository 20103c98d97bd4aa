"""Metrics when things go wrong: a ledger that differs, a message twice, a call held open, a gateway killed."""

from __future__ import annotations

import asyncio
import json
import math
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY, generate_latest

from deploy.local.stack import Stack
from services.audit.handlers import Events
from services.fraud.handlers import Requested
from services.transfer.handlers import Commands, Screened
from shared.contracts.gateway import OpenAccount
from shared.database import Database, open_database
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.retry import Attempt
from tests.integration.conftest import Whole
from tests.support.bank import Bank, Session
from tests.support.builders import ALICE, account_command, requested
from tests.support.metrics import Scrape, scrape
from tests.support.services import deposit, ids, in_process
from tests.support.waiting import eventually
from tests.support.whole import bank_of

# Some of them wait for several rounds of the verifier, one after the other.
pytestmark = pytest.mark.timeout(400)

_DIFFERENCES = "remit_ledger_differences"
_ROUND_ENDED = "remit_ledger_round_ended_timestamp_seconds"
_CALLS = "remit_idempotency_calls_total"
_CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'remit_gateway_verifier'"


def seen(whole: Whole, service: str = "gateway", n: int = 1) -> Scrape:
    """The metrics of one service of the whole Remit."""
    return scrape(whole.stack.service_url(service, n))


# The verifier rests nineteen times as long as a page takes, and other tests have left accounts in this book.
_ROUNDS_TIMEOUT_S = 60.0


async def rounds(whole: Whole, count: int = 2) -> None:
    """Until so many rounds have ended: two contain a whole one that began after this was asked."""
    for _ in range(count):
        last = seen(whole).value(_ROUND_ENDED)
        await eventually(
            lambda last=last: told(seen(whole).value(_ROUND_ENDED) > last),  # type: ignore[misc]
            timeout_s=_ROUNDS_TIMEOUT_S,
        )


async def told(fact: bool) -> bool:
    """A fact that was looked up already, as `eventually` takes it."""
    return fact


def mismatches(whole: Whole) -> set[str]:
    """What the gateway's log names."""
    lines = whole.stack.layout.log("gateway").read_text(encoding="utf-8").splitlines()
    found = (json.loads(line) for line in lines if '"ledger_mismatch"' in line)
    return {f"{entry['account_id']}: {check}" for entry in found for check in entry["checks"]}


@asynccontextmanager
async def unguarded(owner: Database, table: str) -> AsyncIterator[Callable[[str, UUID, int], Awaitable[None]]]:
    """The owner's hand on a table, its triggers off while the change is made; what was changed is put back."""
    done: list[tuple[str, UUID, int]] = []

    async def change(statement: str, subject: UUID, cents: int) -> None:
        async with owner.transaction() as connection:
            await connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            await connection.execute(statement, subject, cents)
            await connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
        done.append((statement, subject, -cents))

    try:
        yield change
    finally:
        for statement, subject, cents in reversed(done):
            await change(statement, subject, cents)


@pytest.mark.parametrize(
    ("table", "statement", "check"),
    [
        (
            "transfer.accounts",
            "UPDATE transfer.accounts SET balance_minor = balance_minor + $2 WHERE id = $1",
            "balance_matches",
        ),
        (
            "ledger.ledger_entries",
            """UPDATE ledger.ledger_entries SET balance_before_minor = balance_before_minor + $2,
                      balance_after_minor = balance_after_minor + $2 WHERE account_id = $1 AND account_seq = 2""",
            "chained",
        ),
    ],
)
async def test_one_cent_changed_by_hand_is_counted_and_named_until_it_is_put_back(
    whole: Whole, table: str, statement: str, check: str
) -> None:
    account = whole.bank.funded(whole.bank.customer())
    assert whole.bank.deposit(account, "1.00").status_code == 201
    assert whole.bank.verified(account)["status"] == "verified"
    await rounds(whole)
    assert seen(whole).value(_DIFFERENCES) == 0
    async with unguarded(whole.owner, table) as change:
        await change(statement, UUID(account), 1)
        await eventually(lambda: told(seen(whole).value(_DIFFERENCES) == 1), timeout_s=_ROUNDS_TIMEOUT_S)
        assert f"{account}: {check}" in mismatches(whole)
        await rounds(whole)
        assert seen(whole).value(_DIFFERENCES) == 1
    await eventually(lambda: told(seen(whole).value(_DIFFERENCES) == 0), timeout_s=_ROUNDS_TIMEOUT_S)


async def test_a_ledger_that_is_merely_behind_has_no_differences(whole: Whole) -> None:
    customer = whole.bank.customer()
    source, to = whole.bank.funded(customer), customer.open_account()
    with stopped(whole, "ledger"):
        assert customer.transfer(source, to).status_code == 201
        assert whole.bank.admin.get(f"/admin/ledger/verify/{to}")["status"] == "catching_up"
        await rounds(whole)
        assert seen(whole).value(_DIFFERENCES) == 0
    assert whole.bank.verified(to)["status"] == "verified"


async def test_one_gateway_verifies_and_another_takes_over(whole: Whole) -> None:
    with second_gateway(whole):
        await rounds(whole)
        assert math.isnan(seen(whole, n=2).value(_DIFFERENCES))
        assert seen(whole, n=2).value("remit_ledger_verified_accounts_total") == 0
        async with open_database(whole.stack.env["REMIT_IDENTITY_POSTGRES_URL"], name="tests") as gateways:
            await gateways.fetch(_CUT)
        await eventually(lambda: told(seen(whole, n=2).value(_DIFFERENCES) == 0), timeout_s=_ROUNDS_TIMEOUT_S)


@contextmanager
def stopped(whole: Whole, service: str) -> Iterator[None]:
    """The service does nothing while the block runs."""
    whole.stack.signal(service, signal.SIGSTOP)
    try:
        yield
    finally:
        whole.stack.signal(service, signal.SIGCONT)


@contextmanager
def second_gateway(whole: Whole) -> Iterator[Bank]:
    """Another gateway of the same bank, as its operator meets it."""
    whole.stack.start_service("gateway", 2)
    bank = bank_of(whole.stack, 2)
    try:
        yield bank
    finally:
        bank.close()
        if whole.stack.pid("gateway-2") is not None:
            whole.stack.stop_service("gateway", n=2)


@pytest.mark.parametrize(
    ("operation", "held_up", "path"),
    [
        ("deposits", "fraud", "/admin/deposits"),
        ("withdrawals", "fraud", "/admin/withdrawals"),
        ("transfers", "fraud", "/transfers"),
        ("transfers.batch", "fraud", "/transfers/batch"),
        ("accounts", "transfer", "/accounts"),
        ("admin.accounts.batch", "transfer", "/admin/accounts/batch"),
    ],
)
async def test_a_call_while_the_first_is_open_is_a_conflict(
    whole: Whole, operation: str, held_up: str, path: str
) -> None:
    customer = whole.bank.customer()
    source, to, key = whole.bank.funded(customer), customer.open_account(), str(uuid4())
    who = whole.bank.admin if path.startswith("/admin") else customer
    body = _body(operation, source, to)
    before = seen(whole)

    def call() -> Any:
        return who.call("POST", path, key=key, json=body, headers={"Prefer": "wait=20"})

    with stopped(whole, held_up):
        first = asyncio.create_task(asyncio.to_thread(call))
        conflicts = 0
        while conflicts < 2 and not first.done():
            second = asyncio.create_task(asyncio.to_thread(call))
            await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
            earlier, first = (second, first) if second.done() else (first, second)
            assert (await earlier).status_code == 409
            conflicts += 1
    assert (await first).status_code in {200, 201}
    assert seen(whole).since(before, _CALLS, "how") == {"claim": 1, "conflict": 2}
    assert seen(whole).since(before, _CALLS, "operation") == {operation: 3}


def _body(operation: str, source: str, to: str) -> dict[str, Any]:
    order = {"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD"}
    account = {"name": "Main", "currency": "USD"}
    bodies: Mapping[str, dict[str, Any]] = {
        "transfers": order,
        "transfers.batch": {"transfers": [order]},
        "accounts": account,
        "admin.accounts.batch": {"accounts": [{**account, "owner_reference": str(uuid4())}]},
    }
    return bodies.get(operation, {"account_id": source, "amount": "1.00", "currency": "USD"})


async def test_a_pending_key_is_resumed_and_that_of_a_killed_gateway_is_taken_over(whole: Whole) -> None:
    customer = whole.bank.customer()
    source, to, pending, orphan = whole.bank.funded(customer), customer.open_account(), str(uuid4()), str(uuid4())
    takeovers, before = "remit_idempotency_takeovers_total", seen(whole)
    soon, long = {"Prefer": "respond-async"}, {"Prefer": "wait=20"}
    with second_gateway(whole) as other, stopped(whole, "fraud"):
        for _ in range(2):
            assert customer.transfer(source, to, key=pending, headers=soon).status_code == 202
        assert seen(whole).since(before, _CALLS, "how") == {"claim": 1, "resume": 1}
        assert seen(whole).value(takeovers) == before.value(takeovers)
        there = Session(other.client, customer.token, customer.user)
        lost = asyncio.create_task(asyncio.to_thread(there.transfer, source, to, key=orphan, headers=long))
        await eventually(lambda: told(seen(whole, n=2).value("remit_held_transfers") == 1))
        whole.stack.stop_service("gateway", signal.SIGKILL, n=2)
        with pytest.raises(Exception, match=r"disconnected|reset"):
            await lost
        # A gateway that is dead is known to be after five seconds.
        await eventually(
            lambda: told(customer.transfer(source, to, key=orphan, headers=soon).status_code == 202), timeout_s=20
        )
        assert seen(whole).value(takeovers) - before.value(takeovers) == 1
        assert seen(whole).since(before, _CALLS, "how")["resume"] == 2


class _Counts:
    """What this process has counted since it was last asked."""

    def __init__(self) -> None:
        self._before = Scrape(generate_latest(REGISTRY).decode())

    def more(self, name: str, label: str) -> dict[str, float]:
        now = Scrape(generate_latest(REGISTRY).decode())
        grown, self._before = now.since(self._before, name, label), now
        return grown


async def test_what_is_delivered_again_is_not_counted_again(servers: Stack, owner: Database) -> None:
    """Once for each service that decides: the same messages twice, in one batch and in another."""
    async with in_process(servers) as services:
        fraud, transfer = Requested(services.fraud), Screened(services.transfer)
        letters = DeadLetters(owner)
        opening = account_command(OpenAccount(owner_id=ALICE, name="Main", currency="USD"))
        counts, attempt = _Counts(), Attempt()
        for _ in range(2):
            changed = (await Commands(services.transfer, letters).apply([opening, opening], attempt)).events
        assert counts.more("remit_account_commands_total", "outcome") == {"applied": 1}
        (account,) = ids(changed)  # type: ignore[arg-type]
        money = [deposit(account, 1_000), requested(from_account_id=account, to_account_id=uuid4())]
        counts = _Counts()
        for _ in range(2):
            screened = (await fraud.screen([*money, *money], attempt)).events
        assert counts.more("remit_fraud_verdicts_total", "verdict") == {"approved": 2}
        counts = _Counts()
        for _ in range(2):
            settled = (await transfer.settle(screened, attempt)).events  # type: ignore[arg-type]
            await transfer.give_up(screened[0], RuntimeError("late"), attempt)  # type: ignore[arg-type]
        assert counts.more("remit_transfers_settled_total", "status") == {"completed": 1, "failed": 1}
        counts = _Counts()
        for _ in range(2):
            await Events(services.audit, letters).record([*changed, *screened, *settled], attempt)
        recorded = {"CREATE": 1, "FRAUD_CHECK": 2, "TRANSFER": 2}
        assert counts.more("remit_audit_rows_total", "action") == recorded
        await services.ledger.book(settled)  # type: ignore[arg-type]
