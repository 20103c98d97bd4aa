"""Several workers of a kind: one carries what it can, the next one what is more; or they take turns."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from deploy.local.stack import Stack
from services.transfer.service import open_service
from services.transfer.settings import Settings, settings_from
from services.transfer.store import Store
from shared.contracts.fraud import TransferScreened
from shared.contracts.transfer import TransferSettled
from shared.database import Database
from tests.support.broker import BrokerProbe
from tests.support.builders import screened
from tests.support.running import running

_PREFETCH = 4


class Hands:
    """Who settled what; the hands of one can be held."""

    def __init__(self) -> None:
        self.settled: Counter[int] = Counter()
        self.stores: list[Store] = []
        self.held: Store | None = None
        self.let_go = asyncio.Event()


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> Hands:
    seen, settle, made = Hands(), Store.settle, Store.__init__

    def known(self: Store, database: Database) -> None:
        made(self, database)
        seen.stores.append(self)

    async def counted(self: Store, items: Sequence[TransferScreened], *, retries: int) -> Any:
        if self is seen.held:
            await seen.let_go.wait()
        ended = await settle(self, items, retries=retries)
        seen.settled[seen.stores.index(self)] += len(items)
        return ended

    monkeypatch.setattr(Store, "__init__", known)
    monkeypatch.setattr(Store, "settle", counted)
    return seen


@asynccontextmanager
async def workers(servers: Stack, *priorities: int) -> AsyncIterator[None]:
    """In this order, each consuming before the next one starts."""
    own = {"REMIT_TRANSFER_HTTP_PORT": "0", "REMIT_TRANSFER_RECONCILE_GRACE_S": "3600"}
    settings: Settings = settings_from({**servers.service_settings("transfer"), **own})
    async with AsyncExitStack() as stack:
        for priority in priorities:
            chosen = {"consumer_priority": priority, "prefetch_max": _PREFETCH}
            worker = await stack.enter_async_context(open_service(settings.model_copy(update=chosen)))
            await stack.enter_async_context(running(worker))
        yield


async def _one_by_one(broker: BrokerProbe, number: int) -> None:
    """Each ends before the next one is asked for; of accounts that nobody has, which is an end as any other."""
    told = await broker.listen(TransferSettled.TYPE)
    for n in range(number):
        await broker.publish([screened()])
        await told.at_least(n + 1)


@pytest.mark.parametrize("priorities", [(2, 1), (1, 2)])
async def test_of_several_workers_one_carries_all_that_it_can(
    servers: Stack, broker: BrokerProbe, hands: Hands, priorities: tuple[int, int]
) -> None:
    async with workers(servers, *priorities):
        await _one_by_one(broker, 10)
    assert hands.settled == {priorities.index(2): 10}


async def test_with_the_same_priority_they_take_turns(servers: Stack, broker: BrokerProbe, hands: Hands) -> None:
    async with workers(servers, 7, 7):
        await _one_by_one(broker, 10)
    assert hands.settled == {0: 5, 1: 5}


async def test_what_ones_hands_cannot_hold_the_next_one_takes(
    servers: Stack, broker: BrokerProbe, hands: Hands
) -> None:
    """Held up or frozen, it keeps no more than what it has been given."""
    items = [screened() for _ in range(20)]
    async with workers(servers, 2, 1):
        told = await broker.listen(TransferSettled.TYPE)
        hands.held = hands.stores[0]
        for item in items:
            await broker.publish([item])
        await told.at_least(len(items) - _PREFETCH)
        assert hands.settled == {1: len(items) - _PREFETCH}
        hands.let_go.set()
        found = await told.at_least(len(items))
    assert hands.settled == {0: _PREFETCH, 1: len(items) - _PREFETCH}
    settled = [one.instruction.transfer_id for one in found if isinstance(one, TransferSettled)]
    assert sorted(settled) == sorted(item.instruction.transfer_id for item in items)
