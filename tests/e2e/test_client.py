"""`remit.client` against a whole Remit: every call that it offers, by both clients."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from remit.client import (
    AsyncClient,
    AuditFilter,
    BadRequest,
    Conflict,
    Credentials,
    Forbidden,
    KeyReused,
    NewAccount,
    NewMovement,
    NewTransfer,
    NotFound,
    Payment,
    TokenExpired,
    TransferBlocked,
    TransferFailed,
    TransferFilter,
    Unauthenticated,
    new_key,
)
from tests.support.scripted import Kind, listed, result
from tests.support.waiting import eventually

PASSWORD = "correct horse battery"


@dataclass(frozen=True, kw_only=True)
class People:
    """The same API as a customer and as the operator, by one kind of client; Ada has 100.00 on the first account."""

    url: str
    ada: Any
    admin: Any
    login: Credentials
    source: str
    to: str

    def order(self, amount: str = "1.00", **more: Any) -> NewTransfer:
        """From Ada's first account to her second."""
        return NewTransfer(from_account_id=self.source, to_account_id=self.to, amount=amount, currency="USD", **more)

    async def balance(self, account_id: str) -> str:
        """As Ada sees it."""
        return str((await result(self.ada.account(account_id))).balance)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """Who is logged in for all tests of one kind of client: a password costs a while."""

    url: str
    ada: Any
    admin: Any
    login: Credentials


@pytest.fixture(scope="module")
async def crew(stack: Stack, kind: Kind) -> AsyncIterator[Crew]:
    env, url = stack.env, stack.env["REMIT_API_URL"]
    operator = Credentials(email=env["REMIT_GATEWAY_ADMIN_EMAIL"], password=env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    async with AsyncExitStack() as open_ones:
        admin = kind(url, operator)
        await _enter(open_ones, admin)
        ada, login = await _customer(open_ones, kind, url)
        yield Crew(url=url, ada=ada, admin=admin, login=login)


@pytest.fixture
async def people(crew: Crew) -> People:
    source, to = [(await result(crew.ada.open_account(name, "USD"))).id for name in ("Main", "Savings")]
    await result(crew.admin.deposit(source, "100.00", "USD"))
    return People(url=crew.url, ada=crew.ada, admin=crew.admin, login=crew.login, source=source, to=to)


async def _customer(open_ones: AsyncExitStack, kind: Kind, url: str) -> tuple[Any, Credentials]:
    login = Credentials(email=f"{uuid4().hex}@example.com", password=PASSWORD)
    client = kind(url, login)
    await _enter(open_ones, client)
    await result(client.register(login.email, login.password, "Ada"))
    return client, login


async def _enter(stack: AsyncExitStack, client: Any) -> None:
    if isinstance(client, AsyncClient):
        await stack.enter_async_context(client)
    else:
        stack.enter_context(client)


async def test_a_customer_moves_money_and_reads_what_came_of_it(people: People) -> None:
    made = await result(people.ada.transfer(people.order("12.34", description="rent", metadata={"month": 11})))
    assert (made.status, made.amount_minor, made.description, made.metadata) == (
        "completed",
        1234,
        "rent",
        {"month": 11},
    )
    assert (await people.balance(people.source), await people.balance(people.to)) == ("87.66", "12.34")
    assert (await result(people.ada.transfer_by_id(made.id))).settled_at == made.settled_at
    [found] = await listed(people.ada.transfers(key=made.idempotency_key))
    assert found.id == made.id

    async def booked() -> list[Any]:
        return await listed(people.ada.entries(people.to))

    [entry] = await eventually(booked)
    assert (entry.transfer_id, entry.direction, entry.amount_minor) == (made.id, "credit", 1234)
    assert await listed(people.ada.entries(people.to, end_date="2001-01-01")) == []
    assert await listed(people.ada.entries(people.to, start_date=entry.created_at)) == [entry]
    stages = await result(people.ada.timeline(made.id))
    assert [stage.stage for stage in stages][:3] == ["gateway", "fraud", "transfer"]


async def test_a_key_pays_once_and_stands_for_one_payment(people: People) -> None:
    payment = Payment.transfer(people.order("1.00"))
    first, again = await result(people.ada.resume(payment)), await result(people.ada.resume(payment))
    assert first == again
    with pytest.raises(KeyReused) as caught:
        await result(people.ada.transfer(people.order("2.00"), key=payment.key))
    assert list(caught.value.differing_fields) == ["amount"]
    assert await people.balance(people.to) == "1.00"


@pytest.mark.parametrize("key", ['"quoted"', " spaced ", 'back\\slash"', "ä".encode().hex()])
async def test_any_key_stands_for_itself(people: People, key: str) -> None:
    """In a header, in a list's filter: the very same characters."""
    made = await result(people.ada.transfer(people.order(), key=key))
    [found] = await listed(people.ada.transfers(key=key))
    assert found.id == made.id


async def test_refusals_are_outcomes_with_their_reasons(people: People) -> None:
    with pytest.raises(TransferBlocked) as blocked:
        await result(people.ada.transfer(people.order("1000000.01")))
    assert [reason.code for reason in blocked.value.reasons] == ["amount_above_maximum"]
    with pytest.raises(TransferFailed) as failed:
        await result(people.ada.transfer(people.order("500.00")))
    assert failed.value.failure_reason == "insufficient_funds"
    for refused in (blocked.value, failed.value):
        assert refused.request_id
        on_book = await result(people.ada.transfer_by_id(refused.transfer_id))
        assert on_book.status in {"blocked", "failed"}
        with pytest.raises(type(refused)):
            await result(people.ada.wait_for(refused.transfer_id))


async def test_what_is_submitted_ends_by_itself(people: People) -> None:
    payment = Payment.transfer(people.order("3.00"))
    pending = await result(people.ada.submit(payment))
    ended = await result(people.ada.wait_for(pending.id))
    assert (ended.id, ended.status) == (pending.id, "completed")
    assert (await result(people.ada.resume(payment))).id == pending.id
    assert await people.balance(people.to) == "3.00"


async def test_a_customers_batch_ends_item_by_item(people: People) -> None:
    orders = [people.order("1.00"), people.order("500.00"), people.order("2.00")]
    key = new_key()
    first = await result(people.ada.transfer_batch(orders, key=key))
    assert [(item.status_code, item.code, item.idempotency_key) for item in first] == [
        (201, "", key),
        (422, "insufficient_funds", key),
        (201, "", key),
    ]
    assert await result(people.ada.transfer_batch(orders, key=key)) == first
    assert await people.balance(people.to) == "3.00"


async def test_an_operator_opens_accounts_and_moves_money_for_owners(people: People) -> None:
    wanted = [
        NewAccount(owner_reference=uuid4().hex, name="Current", currency="USD", opening_balance=Decimal(10))
        for _ in range(3)
    ]
    opened = [item.account for item in await result(people.admin.open_accounts(wanted))]
    assert [account.balance_minor for account in opened] == [1000] * 3
    orders = [
        NewTransfer(from_account_id=one.id, to_account_id=people.to, amount=Decimal("2.50"), currency="USD")
        for one in opened
    ]
    items = await result(people.admin.make_transfers(orders))
    assert [item.transfer.amount for item in items] == ["2.50"] * 3
    assert len({item.idempotency_key for item in items}) == 3
    assert await people.balance(people.to) == "7.50"
    owned = await listed(people.admin.all_accounts(owner_id=opened[0].owner_id))
    assert [one.id for one in owned] == [opened[0].id]


async def test_an_operators_payment_is_found_by_its_key(people: People) -> None:
    order = NewMovement(account_id=people.source, amount="5.00", currency="USD", description="cash")
    payment = Payment.deposit(order)
    made = await result(people.admin.resume(payment))
    [found] = await listed(people.admin.transfers(key=payment.key))
    assert (found.id, found.kind) == (made.id, "deposit")
    await result(people.admin.withdraw(people.source, "5.00", "USD", description="cash"))
    assert await people.balance(people.source) == "100.00"


async def test_an_account_is_renamed_closed_and_restored(people: People) -> None:
    assert (await result(people.ada.rename_account(people.to, "Holiday"))).name == "Holiday"
    with pytest.raises(Conflict, match="account_not_empty"):
        await result(people.ada.close_account(people.source))
    await result(people.ada.close_account(people.to))
    with pytest.raises(NotFound):
        await result(people.ada.account(people.to))
    mine = {account.id for account in await listed(people.ada.accounts())}
    assert people.source in mine
    assert people.to not in mine
    [deleted] = [
        account
        for account in await listed(people.admin.all_accounts(include_deleted=True, limit=50))
        if account.id == people.to
    ]
    assert deleted.is_deleted
    assert (await result(people.admin.restore_account(people.to))).is_deleted is False
    await result(people.admin.close_any_account(people.to))
    with pytest.raises(NotFound):
        await result(people.ada.account(people.to))
    with pytest.raises(Conflict, match="account_not_empty"):
        await result(people.admin.close_any_account(people.source))


async def test_a_transfer_is_hidden_and_shown_again(people: People) -> None:
    made = await result(people.ada.transfer(people.order()))
    await result(people.admin.delete_transfer(made.id))
    with pytest.raises(NotFound):
        await result(people.ada.transfer_by_id(made.id))
    assert (await result(people.admin.restore_transfer(made.id))).id == made.id


async def test_pages_go_on_where_one_left_them(people: People) -> None:
    for _ in range(5):
        await result(people.ada.transfer(people.order()))
    everything = [one.id for one in await listed(people.ada.transfers(account_id=people.to))]
    pages = await listed(people.ada.transfers(account_id=people.to, limit=2).pages())
    assert [len(page.items) for page in pages] == [2, 2, 1]
    rest = await listed(people.ada.transfers(account_id=people.to, limit=2, cursor=pages[0].next_cursor))
    assert [one.id for one in rest] == everything[2:]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert await listed(people.ada.transfers(start_date=tomorrow)) == []


async def test_an_operator_verifies_the_ledger(people: People) -> None:
    async def verified() -> Any:
        found = await result(people.admin.verify_account(people.source))
        return found if found.status == "verified" else None

    found = await eventually(verified)
    assert (found.account_balance, found.total_credits, found.entries) == ("100.00", "100.00", 1)
    assert all(check.ok for check in found.checks)
    book = await result(people.admin.verify_book())
    assert book.status in {"verified", "catching_up"}
    assert book.totals["USD"].debits


async def test_an_operator_reads_what_fraud_decided(people: People) -> None:
    with pytest.raises(TransferBlocked):
        await result(people.ada.transfer(people.order("1000000.01")))
    stats = await result(people.admin.fraud_stats(start_date=datetime.now(UTC).date()))
    assert stats.total_checks == stats.approved + stats.blocked
    assert stats.by_reason["amount_above_maximum"] >= 1
    assert sum(hour.total_checks for hour in stats.by_hour) == stats.total_checks
    assert stats.by_user[0].blocked >= 1


async def test_an_operator_looks_up_transfers_and_all_that_is_known_of_one(people: People) -> None:
    key = new_key()
    made = await result(people.ada.transfer(people.order("2.00"), key=key))
    with pytest.raises(TransferFailed) as refused:
        await result(people.ada.transfer(people.order("2000.00")))
    me = await result(people.ada.me())

    async def ids(**asked: Any) -> list[str]:
        return [found.id for found in await listed(people.admin.find_transfers(TransferFilter(**asked), limit=1))]

    assert await ids(idempotency_key=key) == [made.id]
    assert await ids(account_id=people.to) == [refused.value.transfer_id, made.id]
    assert await ids(user_id=me.id, currency="USD", min_amount="2000.00", status="failed") == [
        refused.value.transfer_id
    ]
    [page] = await listed(people.admin.find_transfers(TransferFilter(id=made.id)).pages())
    assert (page.searched_to, page.unknown, page.items[0].caller_id) == (None, {}, me.id)

    async def told() -> Any:
        found = await result(people.admin.whole_timeline(made.id))
        return None if found.waits else found

    found = await eventually(told)
    assert [hop.stage for hop in found.hops] == ["gateway", "fraud", "transfer", "ledger", "audit"]
    assert (found.transfer.idempotency_key, found.verdict.verdict) == (key, "approved")
    assert {entry.amount_minor for entry in found.entries} == {200}


async def test_an_operator_sees_usage_accounts_the_book_and_the_pipeline(people: People) -> None:
    await result(people.ada.transfer(people.order("2.00")))
    me = await result(people.ada.me())
    used = await result(people.admin.user_usage(me.id))
    assert used.hour_count.used + used.hour_count.left == used.hour_count.limit
    assert used.day_amount["USD"].limit == "5000000.00"
    [account] = await listed(people.admin.all_accounts(account_id=people.source))
    assert (account.owner_email, account.owner_reference) == (me.email, None)
    assert people.to in {one.id for one in await listed(people.admin.all_accounts(owner_email=me.email))}
    assert await listed(people.admin.all_accounts(owner_reference=me.email)) == []
    book = await result(people.admin.trial_balance())
    assert (book.status, book.currencies["USD"].difference) == ("balanced", "0.00")
    seen = await result(people.admin.pipeline())
    assert [stage.stage for stage in seen.stages] == ["gateway", "fraud", "transfer", "ledger", "audit"]
    assert {server.state for server in seen.servers} == {"up"}


async def test_an_operator_reads_the_audit_log(people: People) -> None:
    me = await result(people.ada.me())
    await people.balance(people.source)
    chosen = AuditFilter(user_id=me.id, resource_type="account", resource_id=people.source)

    async def recorded() -> list[Any]:
        rows = await listed(people.admin.audit_logs(chosen, limit=1))
        return rows if len(rows) == 2 else []

    rows = await eventually(recorded)
    assert {row.action for row in rows} == {"CREATE", "ACCOUNT_ACCESS"}
    assert {(row.user_agent or "").split("/")[0] for row in rows} == {"remit-client"}
    exported = await _export(people.admin, "ndjson", chosen)
    assert [row.seq for row in exported] == [row.seq for row in rows]
    text = b"".join(await _export(people.admin, "csv", chosen)).decode()
    assert [line["resource_id"] for line in csv.DictReader(io.StringIO(text))] == [row.resource_id for row in rows]
    assert (await result(people.admin.verify_audit_log())).status == "verified"


async def _export(client: Any, form: str, chosen: AuditFilter) -> list[Any]:
    what = "rows" if form == "ndjson" else "chunks"
    if isinstance(client, AsyncClient):
        async with client.export_audit_logs("ndjson" if form == "ndjson" else "csv", chosen) as export:
            return [one async for one in getattr(export, what)()]
    with client.export_audit_logs(form, chosen) as blocking:
        return list(getattr(blocking, what)())


async def test_dead_letters_can_be_looked_for(people: People) -> None:
    assert isinstance(await listed(people.admin.dead_letters("fraud", closed_too=True)), list)
    for act in (people.admin.dead_letter, people.admin.replay_dead_letter, people.admin.discard_dead_letter):
        with pytest.raises(NotFound):
            await result(act(str(uuid4())))


async def test_a_customer_is_no_operator(people: People) -> None:
    with pytest.raises(Forbidden):
        await result(people.ada.verify_book())
    with pytest.raises(Forbidden):
        await result(people.ada.deposit(people.source, "1.00", "USD"))


async def test_an_operator_lets_somebody_in_no_more(people: People, kind: Kind) -> None:
    """A client with credentials learns it at once: its token is dead, and so is its login."""
    async with AsyncExitStack() as open_ones:
        bob, _ = await _customer(open_ones, kind, people.url)
        me = await result(bob.me())
        assert (await result(people.admin.change_user(me.id, is_active=False))).is_active is False
        with pytest.raises(Unauthenticated):
            await result(bob.me())


async def test_who_logs_out_is_out_everywhere(people: People, kind: Kind) -> None:
    async with AsyncExitStack() as stack:
        first: Any = kind(people.url)
        await _enter(stack, first)
        token = await result(first.login(people.login.email, people.login.password))
        second: Any = kind(people.url, token=token.access_token)
        await _enter(stack, second)
        assert (await result(second.me())).email == people.login.email
        await result(first.logout())
        with pytest.raises(TokenExpired):
            await result(second.me())


async def test_what_the_api_finds_wrong_is_told_by_field(people: People) -> None:
    with pytest.raises(BadRequest) as caught:
        await result(people.ada.transfer(people.order("1.001")))
    assert [error.field for error in caught.value.errors] == ["amount"]


async def test_no_secret_is_logged_by_anything_below_the_client(
    people: People, kind: Kind, caplog: pytest.LogCaptureFixture
) -> None:
    """Also with everything that the HTTP libraries can say switched on."""
    caplog.set_level(logging.DEBUG)
    async with AsyncExitStack() as stack:
        client: Any = kind(people.url)
        await _enter(stack, client)
        token = await result(client.login(people.login.email, people.login.password))
        await result(client.transfer(people.order()))
    assert "POST" in caplog.text
    assert token.access_token not in caplog.text
    assert PASSWORD not in caplog.text
