"""`remit.client` while parts are killed: every call ends, once, and the sums are exact to the cent."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from deploy.local.stack import Stack
from remit.client import (
    AsyncClient,
    Client,
    NewTransfer,
    NotEnded,
    OutcomeUnknown,
    Patience,
    Payment,
    Transfer,
    TransferFailed,
)
from tests.support.accepted import book_is_clean, parties_of
from tests.support.bank import Bank, Session
from tests.support.waiting import eventually

_SINGLES, _BATCHES, _ITEMS, _TOGETHER = 48, 4, 10, 8
_VICTIMS = ("gateway", "fraud", "transfer")


@dataclass(frozen=True, kw_only=True)
class Parties:
    """Alice, whose money moves from `source` to `to`."""

    alice: Session
    source: str
    to: str

    def order(self, amount: str = "1.00") -> NewTransfer:
        """A transfer of hers."""
        return NewTransfer(from_account_id=self.source, to_account_id=self.to, amount=amount, currency="USD")


@pytest.fixture(scope="module")
def parties(bank: Bank) -> Parties:
    alice, source, to = parties_of(bank)
    return Parties(alice=alice, source=source, to=to)


@pytest.fixture
async def client(stack: Stack, parties: Parties) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(stack.env["REMIT_API_URL"], token=parties.alice.token) as client:
        yield client


@pytest.fixture
def blocking(stack: Stack, parties: Parties) -> Iterator[Client]:
    with Client(stack.env["REMIT_API_URL"], token=parties.alice.token) as client:
        yield client


@pytest.mark.parametrize("victim", _VICTIMS)
async def test_a_client_that_awaits_works_on_while_a_service_is_killed(
    stack: Stack, parties: Parties, client: AsyncClient, victim: str
) -> None:
    """Single transfers, batches, and refusals, which come to the same whoever dies."""
    before_minor = (await client.account(parties.source)).balance_minor
    turns = asyncio.Semaphore(_TOGETHER)

    async def one() -> Transfer:
        async with turns:
            return await client.transfer(parties.order())

    async def refused() -> None:
        async with turns:
            with pytest.raises(TransferFailed, match="insufficient_funds"):
                await client.transfer(parties.order("20000.00"))

    singles = [asyncio.create_task(one()) for _ in range(_SINGLES)]
    others = [asyncio.create_task(refused()) for _ in range(_TOGETHER)]
    batches = [asyncio.create_task(client.transfer_batch([parties.order()] * _ITEMS)) for _ in range(_BATCHES)]
    await asyncio.wait(singles, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.to_thread(_kill, stack, victim)
    made = await asyncio.gather(*singles)
    items = [item for batch in await asyncio.gather(*batches) for item in batch]
    await asyncio.gather(*others)
    assert {transfer.status for transfer in made} == {"completed"}
    assert {item.status_code for item in items} == {201}
    ids = {transfer.id for transfer in made} | {item.transfer.id for item in items if item.transfer is not None}
    assert len(ids) == _SINGLES + _BATCHES * _ITEMS
    for transfer in made:
        assert [found.id async for found in client.transfers(key=transfer.idempotency_key)] == [transfer.id]
    assert (await client.account(parties.source)).balance_minor == before_minor - 100 * len(ids)
    await asyncio.to_thread(book_is_clean, stack)


@pytest.mark.parametrize("victim", _VICTIMS)
def test_a_client_that_blocks_works_on_while_a_service_is_killed(
    stack: Stack, parties: Parties, blocking: Client, victim: str
) -> None:
    """One client, shared by threads."""
    before_minor = blocking.account(parties.source).balance_minor
    with ThreadPoolExecutor(_TOGETHER) as pool:
        calls = [pool.submit(blocking.transfer, parties.order()) for _ in range(_SINGLES)]
        calls[0].result()
        _kill(stack, victim)
        made = [call.result() for call in calls]
    assert {transfer.status for transfer in made} == {"completed"}
    assert len({transfer.id for transfer in made}) == _SINGLES
    assert blocking.account(parties.source).balance_minor == before_minor - 100 * _SINGLES
    book_is_clean(stack)


async def test_an_outcome_that_stayed_unknown_is_resumed_and_paid_once(stack: Stack, parties: Parties) -> None:
    """The gateway dies with the call open and stays away: nobody can tell, and the error says so."""
    url, token = stack.env["REMIT_API_URL"], parties.alice.token
    payment = Payment.transfer(parties.order("7.00"))
    async with AsyncClient(url, token=token) as patient:
        before_minor = (await patient.account(parties.source)).balance_minor
        await asyncio.to_thread(stack.stop_service, "fraud")
        async with AsyncClient(url, token=token, patience=Patience(give_up_after_s=10.0)) as hasty:
            asking = asyncio.create_task(hasty.resume(payment))
            await eventually(lambda: _is_taken(patient, payment))
            await asyncio.to_thread(stack.stop_service, "gateway", signal.SIGKILL)
            with pytest.raises(OutcomeUnknown) as caught:
                await asking
        assert caught.value.payment == payment
        await asyncio.to_thread(stack.start_service, "gateway")
        await asyncio.to_thread(stack.start_service, "fraud")
        made = await patient.resume(caught.value)
        assert (made.status, made.idempotency_key) == ("completed", payment.key)
        assert (await patient.account(parties.source)).balance_minor == before_minor - 700
    await asyncio.to_thread(book_is_clean, stack)


async def test_an_accepted_payment_is_waited_for_again_after_patience_ended(stack: Stack, parties: Parties) -> None:
    """No worker screens it for a while; it is pending, never failed, and ends once somebody does."""
    url, token = stack.env["REMIT_API_URL"], parties.alice.token
    patience = Patience(give_up_after_s=3.0, pending_max_s=1.0)
    async with AsyncClient(url, token=token, patience=patience) as hasty:
        before_minor = (await hasty.account(parties.source)).balance_minor
        await asyncio.to_thread(stack.stop_service, "fraud")
        with pytest.raises(NotEnded) as caught:
            await hasty.transfer(parties.order("5.00"))
        assert caught.value.transfer is not None
        await asyncio.to_thread(stack.start_service, "fraud")
    async with AsyncClient(url, token=token) as patient:
        made = await patient.resume(caught.value)
        assert made.id == caught.value.transfer.id
        assert (await patient.account(parties.source)).balance_minor == before_minor - 500
    await asyncio.to_thread(book_is_clean, stack)


async def _is_taken(client: AsyncClient, payment: Payment) -> bool:
    return [found.status async for found in client.transfers(key=payment.key)] == ["pending"]


def _kill(stack: Stack, victim: str) -> None:
    stack.stop_service(victim, signal.SIGKILL)
    stack.start_service(victim)
