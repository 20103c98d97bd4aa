"""Calls that move money, without servers: what they ask of records, broker and rows, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
import pytest

from services.gateway.calls.accounts import AccountCommands
from services.gateway.calls.batches import BatchAnswer, BatchCall, Batches
from services.gateway.calls.openings import OpeningItem, Openings
from services.gateway.calls.outcomes import Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.refusals import Refusals
from services.gateway.calls.transfers import Transfers
from services.gateway.domain import ids, views
from services.gateway.domain.views import TransferView
from services.gateway.errors import RateLimited, ServiceUnavailable
from services.gateway.http.tokens import Claims
from services.gateway.idempotency.claims import Absent, Claim, Claimed, Limited, Met, Replay, Told
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import Redis
from services.gateway.identity.activity import Activities
from services.gateway.identity.callers import Caller
from services.gateway.identity.store import IdentityStore
from services.gateway.reads.transfers import TransferReads
from shared.contracts.gateway import BatchPlace, Instruction, TransferRequested
from shared.contracts.transfer import AccountChanged, AccountState, CommandOutcome, TransferRefused
from shared.errors import TransientError
from tests.support.builders import ALICE, CONTEXT, NOON, account_command, instruction, settled

CALLER = Caller(user_id=ALICE, is_admin=True, context=CONTEXT, claims=Claims(sub=ALICE, jti=ALICE, ver=1, exp=1))
NOT_BEGUN = [Limited(1_000), Absent()]


class FakeRecords:
    """Meets every call with what it is told to, and keeps what a record was ended with."""

    def __init__(self, met: Met | None = None) -> None:
        self.met = met or Claimed()
        self.bodies: dict[str, bytes] = {}

    async def claim(self, claim: Claim) -> Met:
        body = self.bodies.get(claim.record.name)
        return self.met if body is None else Replay(200, body)

    async def end(self, name: str, fingerprint: str, status: int, body: bytes, asked_ms: int) -> Replay:
        self.bodies[name] = body
        return Replay(status, body)

    async def release(self, *arguments: Any, **more: Any) -> None:
        """Nothing is left to be swept here."""


class FakeReads:
    """The rows that there are, and how often they were asked for."""

    def __init__(self, rows: Sequence[TransferView] = (), error: Exception | None = None) -> None:
        self.found = {row.transfer_id: row for row in rows}
        self.error = error
        self.asked = 0

    async def rows(self, transfer_ids: Sequence[UUID]) -> dict[UUID, TransferView]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return {each: self.found[each] for each in transfer_ids if each in self.found}

    async def row(self, transfer_id: UUID) -> TransferView | None:
        return (await self.rows([transfer_id])).get(transfer_id)

    async def decisions(self, transfer_ids: Sequence[UUID]) -> Mapping[UUID, Any]:
        return {}


class FakeRequests:
    """A broker that confirms everything; who listens is told of each batch."""

    is_up = True

    def __init__(self) -> None:
        self.published: list[TransferRequested] = []
        self.outcomes: list[Any] = []
        self.listener: Outcomes | None = None

    async def whole(self, asked: Sequence[TransferRequested]) -> None:
        self.published += asked
        if self.listener is not None:
            self.listener.receive(self.outcomes)


def refusals() -> Refusals:
    class Counting:
        async def run(self, name: str, arguments: Sequence[Any]) -> list[int]:
            return [0] * (len(arguments) - 1)

    return Refusals(cast("Redis", Counting()), cast("Activities", None), limit=10, window_s=60)


def transfers(records: FakeRecords, reads: FakeReads) -> Transfers:
    return Transfers(
        "gw", cast("Records", records), cast("Requests", FakeRequests()), Outcomes(print), cast("TransferReads", reads),
        refusals(),
    )  # fmt: skip


def batches(records: FakeRecords, reads: FakeReads, requests: FakeRequests | None = None) -> Batches:
    requests, outcomes = requests or FakeRequests(), Outcomes(print)
    requests.listener = outcomes
    return Batches(
        "gw", cast("Records", records), cast("Requests", requests), outcomes, cast("TransferReads", reads), refusals()
    )


def batch(*items: Instruction) -> BatchCall:
    return BatchCall(batch_id=UUID(int=9), fingerprint="v1:batch", instructions=items)


def asked_again(item: Instruction) -> Instruction:
    """The same, in a later request."""
    later = msgspec.structs.replace(CONTEXT, request_id="req-2")
    return msgspec.structs.replace(item, context=later)


def row_of(item: Instruction) -> TransferView:
    return msgspec.structs.replace(views.settled(settled(instruction=item)), batch_fingerprint="v1:batch")


@pytest.mark.parametrize("met", NOT_BEGUN)
async def test_a_transfer_of_which_only_the_row_is_left_is_answered_from_it_where_nothing_may_begin(met: Met) -> None:
    item = instruction()
    answer = await transfers(FakeRecords(met), FakeReads([row_of(item)])).carry(
        asked_again(item), wait_s=5, address="192.0.2.1"
    )
    assert (answer.status, answer.is_replay) == (201, True)


@pytest.mark.parametrize("met", NOT_BEGUN)
@pytest.mark.parametrize("is_away", [False, True])
async def test_a_transfer_without_a_row_is_refused_where_nothing_may_begin(met: Met, *, is_away: bool) -> None:
    item = instruction()
    other = msgspec.structs.replace(row_of(item), fingerprint="v1:other")
    reads = FakeReads([other], TransientError("away") if is_away else None)
    with pytest.raises(RateLimited if isinstance(met, Limited) else ServiceUnavailable):
        await transfers(FakeRecords(met), reads).carry(item, wait_s=5, address="192.0.2.1")


@pytest.mark.parametrize("met", NOT_BEGUN)
async def test_a_batch_of_which_only_rows_are_left_is_answered_from_them_where_nothing_may_begin(met: Met) -> None:
    items = [instruction(), instruction()]
    calls = batches(FakeRecords(met), FakeReads(list(map(row_of, items))))
    answer = await calls.carry(batch(*map(asked_again, items)), CALLER, wait_s=5, address="192.0.2.1")
    assert ([item.status_code for item in answer.items], answer.is_replay) == ([201, 201], True)


@pytest.mark.parametrize("met", NOT_BEGUN)
async def test_a_batch_that_has_not_ended_whole_is_refused_where_nothing_may_begin(met: Met) -> None:
    items = [instruction(), instruction()]
    calls = batches(FakeRecords(met), FakeReads([row_of(items[0])]))
    with pytest.raises(RateLimited if isinstance(met, Limited) else ServiceUnavailable):
        await calls.carry(batch(*map(asked_again, items)), CALLER, wait_s=5, address="192.0.2.1")


async def test_a_batch_waits_as_long_as_it_was_asked_to_and_looks_once() -> None:
    reads = FakeReads()
    answer = await batches(FakeRecords(), reads).carry(batch(instruction()), CALLER, wait_s=0.3)
    assert [item.status_code for item in answer.items] == [202]
    assert reads.asked == 1


async def test_an_item_that_was_refused_for_its_key_is_told_so_again() -> None:
    """Also while the transfer that has the key has no row, and in the same words once it has."""
    item = instruction(batch=BatchPlace(batch_id=UUID(int=9), fingerprint="v1:batch", index=0, count=1))
    call = BatchCall(batch_id=UUID(int=9), fingerprint="v1:batch", instructions=[item], keyed=frozenset({0}))
    requests, records, reads = FakeRequests(), FakeRecords(), FakeReads()
    requests.outcomes = [
        TransferRefused(
            transfer_id=item.transfer_id,
            fingerprint=item.fingerprint,
            differing_fields=("amount",),
        )
    ]
    calls = batches(records, reads, requests)

    async def told() -> BatchAnswer:
        return await calls.carry(call, CALLER, wait_s=5)

    first = await told()
    assert [one.status_code for one in first.items] == [422]
    again = await told()
    assert (again.items, again.is_replay) == (first.items, True)
    reads.found[item.transfer_id] = msgspec.structs.replace(row_of(item), fingerprint="v1:other")
    assert (await told()).items == first.items


@pytest.mark.parametrize("told", [Told("req-1"), Told("req 1", {3: ("amount", "currency")})])
def test_what_a_record_keeps_of_a_batch_is_read_as_it_was_written(told: Told) -> None:
    assert Told.read(told.written) == told


class FakeCommands:
    """Opens the accounts that it is told to, and remembers which."""

    def __init__(self) -> None:
        self.open_now: set[UUID] = set()

    def opening(self, caller: Caller, account_id: UUID, owner_id: UUID, name: str, currency: str) -> Any:
        return account_command(command_id=account_id)

    async def known(self, commands: Sequence[Any]) -> dict[UUID, AccountChanged]:
        return {each.command_id: _opened(each.command_id) for each in commands if each.command_id in self.open_now}

    async def carry_all(self, commands: Sequence[Any], wait_s: float) -> dict[UUID, AccountChanged]:
        return await self.known(commands)

    def alone(self, subject_id: UUID, wait_s: float) -> Any:
        return asyncio.Lock()


class FakeStore:
    async def add_owners(self, owners: Any, act_of: Any) -> set[UUID]:
        return set()


class Deposits:
    """What is paid in, batch by batch."""

    def __init__(self) -> None:
        self.calls: list[BatchCall] = []

    async def carry(self, call: BatchCall, caller: Caller, *, wait_s: float) -> BatchAnswer:
        self.calls.append(call)
        inner = batches(FakeRecords(), FakeReads([row_of(item) for item in call.instructions]))
        return BatchAnswer(items=(await inner._rebuilt(call, Told("req-1"))).items)


def _opened(account_id: UUID) -> AccountChanged:
    state = AccountState(
        account_id=account_id, owner_id=ALICE, name="Main", currency="USD", balance_minor=0, account_seq=0, version=1,
        created_at=NOON, updated_at=NOON,
    )  # fmt: skip
    return AccountChanged(
        command_id=account_id, fingerprint="v1", operation="open", outcome=CommandOutcome.APPLIED, occurred_at=NOON,
        context=CONTEXT, account=state,
    )  # fmt: skip


async def test_nothing_is_paid_in_before_it_is_known_how_every_account_of_the_call_ended() -> None:
    """Else the record of the deposits would stand for fewer than the call has, and the rest never be made."""
    commands, deposits = FakeCommands(), Deposits()
    openings = Openings(
        cast("IdentityStore", FakeStore()), cast("AccountCommands", commands), cast("Batches", deposits),
        cast("Activities", None),
    )  # fmt: skip
    items = [OpeningItem(reference=name, name="Main", currency="USD", opening_minor=500, key=name) for name in "ac"]

    async def statuses() -> list[int]:
        return [item.status_code for item in (await openings.carry(items, CALLER, key="K", wait_s=1)).items]

    first, second = (ids.account_id(ALICE, ids.ADMIN_ACCOUNTS_BATCH, name) for name in "ac")
    commands.open_now = {first}
    assert await statuses() == [503, 503]
    assert deposits.calls == []
    commands.open_now = {first, second}
    assert await statuses() == [201, 201]
    [call] = deposits.calls
    assert [item.to_account_id for item in call.instructions] == [first, second]
