"""What soft delete leaves behind: every row, and all that rests on them."""

from __future__ import annotations

import signal
from typing import Any
from uuid import UUID, uuid4

import pytest
from redis.asyncio import Redis

from shared.contracts.gateway import CloseAccount, HideTransfer, RestoreTransfer
from shared.contracts.transfer import CommandOutcome
from tests.integration.conftest import Whole
from tests.support.bank import Session
from tests.support.builders import ALICE, account_command, screened
from tests.support.services import Services, in_process
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def alice(whole: Whole) -> Session:
    return whole.bank.customer("Alice")


async def _wipe_redis(whole: Whole) -> None:
    redis = Redis.from_url(whole.stack.env["REMIT_REDIS_URL"])
    try:
        await redis.flushall()
    finally:
        await redis.aclose()

    async def settled() -> bool:
        return whole.bank.client.get("/readyz").status_code == 200

    await eventually(settled)


async def _audited(whole: Whole, resource: str, action: str) -> Any:
    async def look() -> Any:
        return await whole.owner.fetchrow(
            "SELECT resource_type, status, user_id, error_message FROM audit.audit_logs"
            " WHERE resource_id = $1 AND action = $2 ORDER BY seq DESC LIMIT 1",
            resource,
            action,
        )

    return await eventually(look)


async def test_the_rows_of_deleted_things_are_still_there(whole: Whole, alice: Session) -> None:
    source, to = whole.bank.funded(alice, "5.00"), alice.open_account()
    one = alice.transfer(source, to, "5.00").json()["id"]
    before = await whole.owner.fetchrow("SELECT * FROM transfer.transactions WHERE id = $1", UUID(one))
    assert whole.bank.admin.call("DELETE", f"/admin/transfers/{one}").status_code == 204
    assert alice.call("DELETE", f"/accounts/{source}").status_code == 204
    for table, row_id in (("transactions", one), ("accounts", source)):
        row = await whole.owner.fetchrow(
            f"SELECT is_deleted, deleted_at FROM transfer.{table} WHERE id = $1::uuid", row_id
        )
        assert row is not None
        assert row["is_deleted"]
        assert row["deleted_at"] is not None
    assert before is not None
    after = await whole.owner.fetchrow("SELECT * FROM transfer.transactions WHERE id = $1", UUID(one))
    assert after is not None
    hidden = {"is_deleted", "deleted_at"}
    assert {k: v for k, v in after.items() if k not in hidden} == {k: v for k, v in before.items() if k not in hidden}
    row = await _audited(whole, one, "DELETE")
    assert tuple(row) == ("transaction", "success", UUID(whole.bank.admin.user["id"]), None)


async def test_a_key_whose_record_is_gone_from_redis_gives_the_deleted_transfers_answer(
    whole: Whole, alice: Session
) -> None:
    source, to = whole.bank.funded(alice, "5.00"), alice.open_account()
    key, batch_key = str(uuid4()), str(uuid4())
    first = alice.transfer(source, to, "2.00", key=key)
    items = [{"from_account_id": source, "to_account_id": to, "amount": "1.00", "currency": "USD"}]
    batch = alice.batch(items, key=batch_key)
    for one in (first.json()["id"], batch.json()["items"][0]["transfer"]["id"]):
        assert whole.bank.admin.call("DELETE", f"/admin/transfers/{one}").status_code == 204
    await _wipe_redis(whole)
    whole.stack.signal("transfer", signal.SIGSTOP)
    try:
        # The row itself answers, though no list shows it: nobody else can.
        from_the_row = alice.transfer(source, to, "2.00", key=key, headers={"Prefer": "wait=1"})
    finally:
        whole.stack.signal("transfer", signal.SIGCONT)
    assert (from_the_row.status_code, from_the_row.content) == (201, first.content)
    again, batch_again = alice.transfer(source, to, "2.00", key=key), alice.batch(items, key=batch_key)
    assert (again.status_code, again.content) == (201, first.content)
    assert (batch_again.status_code, batch_again.content) == (200, batch.content)
    assert alice.balance(source) == "2.00"


async def test_a_pending_transfer_can_be_neither_deleted_nor_restored(whole: Whole, alice: Session) -> None:
    source, to = whole.bank.funded(alice, "5.00"), alice.open_account()
    whole.stack.signal("transfer", signal.SIGSTOP)
    try:
        answer = alice.transfer(source, to, "1.00", headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        one = answer.json()["id"]
        refused = [
            whole.bank.admin.call("DELETE", f"/admin/transfers/{one}"),
            whole.bank.admin.call("POST", f"/admin/transfers/{one}/restore"),
        ]
        assert {(r.status_code, r.json()["code"]) for r in refused} == {(409, "transfer_pending")}
        assert alice.get(f"/transfers/{one}")["status"] == "pending"
    finally:
        whole.stack.signal("transfer", signal.SIGCONT)

    async def has_ended() -> bool:
        return bool(alice.get(f"/transfers/{one}")["status"] == "completed")

    await eventually(has_ended)
    row = await _audited(whole, one, "DELETE")
    assert (row["status"], row["error_message"]) == ("failed", "transfer_pending")


@pytest.fixture
async def services(whole: Whole) -> Any:
    async with in_process(whole.stack) as found:
        yield found


async def test_a_command_that_hides_applies_once_and_the_whole_batch_in_order(services: Services) -> None:
    item = screened(from_account_id=uuid4())
    transfer_id = item.instruction.transfer_id
    await services.transfer.settle([item], retries=0)
    hide = account_command(HideTransfer(transfer_id=transfer_id), account_id=None)
    hide_again = account_command(HideTransfer(transfer_id=transfer_id), account_id=None)
    show = account_command(RestoreTransfer(transfer_id=transfer_id), account_id=None)
    outcomes = await services.transfer.apply([hide, hide_again, show])
    assert [o.outcome for o in outcomes] == [
        CommandOutcome.APPLIED,
        CommandOutcome.TRANSFER_NOT_FOUND,
        CommandOutcome.APPLIED,
    ]
    assert {o.transfer_id for o in outcomes} == {transfer_id}
    # Redelivered after the restore: it answers what it answered, and does not hide again.
    assert await services.transfer.apply([hide]) == outcomes[:1]


async def test_hiding_and_settling_meet_without_harm(whole: Whole, services: Services) -> None:
    """The transfer is delivered again after it was hidden: it stays ended, stays hidden, and tells the same."""
    opened = account_command()
    await services.transfer.apply([opened])
    item = screened(from_account_id=opened.account_id, to_account_id=uuid4())
    transfer_id = item.instruction.transfer_id
    first = await services.transfer.settle([item], retries=0)
    await services.transfer.apply([account_command(HideTransfer(transfer_id=transfer_id), account_id=None)])
    assert await services.transfer.settle([item], retries=2) == first
    assert await whole.owner.fetchval("SELECT is_deleted FROM transfer.transactions WHERE id = $1", transfer_id)


async def test_a_redelivered_close_does_not_close_an_account_that_was_restored(
    whole: Whole, services: Services
) -> None:
    opened = account_command()
    close = account_command(CloseAccount(), account_id=opened.account_id, owner_id=ALICE)
    await services.transfer.apply([opened, close])
    answer = whole.bank.admin.call("POST", f"/admin/accounts/{opened.account_id}/restore")
    assert answer.status_code == 200, answer.text
    await services.transfer.apply([close])
    assert not await whole.owner.fetchval("SELECT is_deleted FROM transfer.accounts WHERE id = $1", opened.account_id)
