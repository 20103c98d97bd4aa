"""The transfer worker on a real broker: redelivery, lost channels, poison, killers, and the reconciler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from aio_pika.abc import AbstractChannel
from prometheus_client import REGISTRY

from deploy.local.stack import Stack
from services.transfer.service import open_service
from services.transfer.settings import Settings, settings_from
from services.transfer.store import Store
from shared.contracts.base import Message
from shared.contracts.envelope import seal
from shared.contracts.fraud import TransferScreened, Verdict
from shared.contracts.gateway import Kind
from shared.contracts.transfer import TransferRefused, TransferSettled
from shared.database import Database, is_transient, open_database
from shared.ids import settlement_account_id
from shared.messaging import consumer, retry, stream
from shared.messaging.connection import BrokerUnavailable
from shared.messaging.publisher import Emission, Publisher
from tests.support.broker import BrokerProbe
from tests.support.builders import account_command, screened
from tests.support.running import running
from tests.support.waiting import eventually

SCREENED = TransferScreened.TYPE


@pytest.fixture(scope="session")
def settings(servers: Stack) -> Settings:
    # No reconciler speaks up here: nobody downstream takes what these tests publish.
    own = {"REMIT_TRANSFER_HTTP_PORT": "0", "REMIT_TRANSFER_RECONCILE_GRACE_S": "3600"}
    return settings_from({**servers.service_settings("transfer"), **own})


@asynccontextmanager
async def transfer(settings: Settings) -> AsyncIterator[None]:
    async with open_service(settings) as worker, running(worker):
        yield


async def funded_pair(broker: BrokerProbe) -> tuple[UUID, UUID]:
    """Two accounts of Alice with 100.00 each, opened and funded through the running worker."""
    opening = [account_command(), account_command()]
    a, b = opening[0].command_id, opening[1].command_id
    changed = await broker.listen("account.changed")
    await broker.publish(opening)
    await changed.at_least(2)
    settled = await broker.listen("transfer.settled")
    source = settlement_account_id("USD")
    await broker.publish(
        [screened(kind=Kind.DEPOSIT, from_account_id=source, to_account_id=x, amount_minor=10_000) for x in (a, b)]
    )
    await settled.at_least(2)
    return a, b


async def balance(owner: Database, account: UUID) -> int:
    found = await owner.fetchval("SELECT balance_minor FROM transfer.accounts WHERE id = $1", account)
    return int(found)


async def is_empty(broker: BrokerProbe, queue: str) -> bool:
    return await broker.ready(queue) == 0


def settled_of(items: Sequence[Message], transfer_id: UUID) -> list[TransferSettled]:
    return [i for i in items if isinstance(i, TransferSettled) and i.instruction.transfer_id == transfer_id]


async def test_a_message_delivered_twice_moves_money_once_and_is_told_twice(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        item = screened(from_account_id=a, to_account_id=b)
        await broker.publish([item])
        await told.at_least(1)
        await broker.publish([item])
        first, again = await told.at_least(2)
    assert first == again
    assert await balance(owner, a) == 9_000


async def test_two_workers_share_the_queue_and_meet_on_the_same_transfers(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(transfer(settings))
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        items = [screened(from_account_id=a, to_account_id=b, amount_minor=10) for _ in range(30)]
        await asyncio.gather(*(broker.publish(items) for _ in range(6)))
        await told.at_least(30)
        await eventually(partial(is_empty, broker, "transfer.screened"))
    assert await balance(owner, a) == 9_700
    for item in items:
        of_one = settled_of(told.items, item.instruction.transfer_id)
        assert of_one
        assert all(settled == of_one[0] for settled in of_one)


async def test_a_conflict_is_told_to_its_gateway_and_to_nobody_else(settings: Settings, broker: BrokerProbe) -> None:
    async with transfer(settings):
        replies, events = await broker.replies_to("gw"), await broker.listen("transfer.settled")
        conflict = screened(Verdict.CONFLICT, reply_to="gw")
        marker = screened(from_account_id=uuid4(), reply_to="gw")
        await broker.publish([conflict, marker])
        told = await replies.at_least(2)
        assert [type(item) for item in told] == [TransferRefused, TransferSettled]
        assert len(await events.at_least(1)) == 1


async def test_the_same_id_with_another_payload_is_refused_even_if_fraud_forgot_the_first(
    settings: Settings, broker: BrokerProbe
) -> None:
    async with transfer(settings):
        replies = await broker.replies_to("gw")
        first = screened(reply_to="gw")
        await broker.publish([first])
        other = screened(
            reply_to="gw", transfer_id=first.instruction.transfer_id, fingerprint="v1:other", amount_minor=1
        )
        await replies.at_least(1)
        await broker.publish([other])
        refused = (await replies.at_least(2))[1]
    assert isinstance(refused, TransferRefused)
    assert set(refused.differing_fields) == {"amount", "from_account_id", "to_account_id"}


async def test_a_commit_whose_publish_failed_is_told_after_redelivery(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The crash between commit and publish: the row is there, nobody knows; the redelivery tells the same."""
    emit, lost = Publisher.emit, asyncio.Event()

    async def lose_once(publisher: Publisher, emission: Emission) -> None:
        if not lost.is_set() and any(isinstance(event, TransferSettled) for event in emission.events):
            lost.set()
            raise BrokerUnavailable("lost on purpose")
        await emit(publisher, emission)

    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        monkeypatch.setattr(Publisher, "emit", lose_once)
        item = screened(from_account_id=a, to_account_id=b)
        await broker.publish([item])
        [settled] = await told.at_least(1)
        assert lost.is_set()
        assert await balance(owner, a) == 9_000
        assert settled_of([settled], item.instruction.transfer_id)


async def test_an_ack_for_a_lost_channel_is_never_sent(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel goes while the batch is being settled: it comes again and changes nothing."""
    settle, closed = Store.settle, asyncio.Event()
    async with open_service(settings) as worker, running(worker):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")

        async def close_meanwhile(store: Store, items: Sequence[TransferScreened], *, retries: int) -> Any:
            ended = await settle(store, items, retries=retries)
            if not closed.is_set():
                closed.set()
                opened = worker.consumers[0]._stream
                assert opened is not None
                await opened.channel.close()
            return ended

        monkeypatch.setattr(Store, "settle", close_meanwhile)
        await broker.publish([screened(from_account_id=a, to_account_id=b)])
        first, again = await told.at_least(2)
        assert first == again
        assert await balance(owner, a) == 9_000
        await eventually(partial(is_empty, broker, "transfer.screened"))


async def test_poison_is_parked_whole_and_the_good_ones_around_it_settle(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        body = f"not an envelope {uuid4()}"
        goods = [screened(from_account_id=a, to_account_id=b, amount_minor=1) for _ in range(100)]
        await broker.publish(goods[:50])
        await broker.publish_body(SCREENED, body.encode())
        await broker.publish(goods[50:])
        await told.at_least(100)
    row = await owner.fetchrow("SELECT * FROM transfer.dead_letters WHERE item = $1", body)
    assert row is not None
    assert (row["reason"], row["origin"]) == ("poison", "transfer.screened")
    assert await balance(owner, a) == 9_900


async def test_an_item_that_never_ends_is_parked_after_three_tries_of_its_own(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A killer: each try takes the batch down. It is counted alone, and its neighbours are settled."""
    settle = Store.settle
    killer = screened(from_account_id=uuid4())
    tries = 0

    async def die(store: Store, items: Sequence[TransferScreened], *, retries: int) -> Any:
        nonlocal tries
        if any(i.instruction.transfer_id == killer.instruction.transfer_id for i in items):
            tries += 1
            raise OSError("as if the process had been killed")
        return await settle(store, items, retries=retries)

    async def dies_too(*_: object, **__: object) -> Any:
        raise OSError("as if the process had been killed")

    monkeypatch.setattr("shared.messaging.retry.RETRY_WAITS_S", (0.0,))
    async with transfer(settings):
        a, b = await funded_pair(broker)
        monkeypatch.setattr(Store, "settle", die)
        monkeypatch.setattr(Store, "fail", dies_too)
        told = await broker.listen("transfer.settled")
        good = screened(from_account_id=a, to_account_id=b)
        await broker.publish([killer])
        await broker.publish([good])
        await told.at_least(1, timeout_s=60)

        async def parked() -> Any:
            return await owner.fetchrow(
                "SELECT reason FROM transfer.dead_letters WHERE item LIKE '%' || $1::text || '%'",
                str(killer.instruction.transfer_id),
            )

        assert (await eventually(parked, timeout_s=60))["reason"] == "attempts_exhausted"
    assert await balance(owner, a) == 9_000
    assert tries >= 3


async def test_a_lock_held_by_somebody_else_costs_retries_and_nothing_more(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    async with transfer(settings):
        a, b = await funded_pair(broker)
        replies = await broker.replies_to("gw")
        async with owner.transaction() as connection:
            await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR UPDATE", a)
            await broker.publish([screened(from_account_id=a, to_account_id=b, reply_to="gw")])

            async def is_waiting() -> bool:
                return bool(await owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

            await eventually(is_waiting)

            async def gave_up_once() -> bool:
                return not await is_waiting()

            await eventually(gave_up_once)
        [settled] = await replies.at_least(1)
    assert isinstance(settled, TransferSettled)
    assert (settled.status, settled.retry_count) == ("completed", 1)
    assert await balance(owner, a) == 9_000


@pytest.mark.usefixtures("short_locks")
async def test_a_lock_that_is_held_for_long_stops_only_who_needs_it_and_fails_nobody(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others are told while it is held, those of its own message too; it itself comes back until the lock goes."""
    monkeypatch.setattr(retry, "RETRY_WAITS_S", (0.0,))
    async with transfer(settings):
        a, b = await funded_pair(broker)
        c, d = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        locked = screened(from_account_id=a, to_account_id=b)
        beside, behind = (screened(from_account_id=c, to_account_id=d) for _ in range(2))
        async with owner.transaction() as connection:
            await connection.execute("SELECT 1 FROM transfer.accounts WHERE id = $1 FOR NO KEY UPDATE", a)
            await broker.publish([beside, locked])
            await broker.publish([behind])
            others = {item.instruction.transfer_id for item in (beside, behind)}

            async def others_are_told() -> bool:
                heard = await told.so_far()
                return others <= {i.instruction.transfer_id for i in heard if isinstance(i, TransferSettled)}

            await eventually(others_are_told, timeout_s=30)
            assert not settled_of(told.items, locked.instruction.transfer_id)

        async def is_told() -> bool:
            return bool(settled_of(await told.so_far(), locked.instruction.transfer_id))

        await eventually(is_told, timeout_s=30)
        await eventually(partial(is_empty, broker, "transfer.screened"))
    assert {i.status for i in settled_of(told.items, locked.instruction.transfer_id)} == {"completed"}
    assert [await balance(owner, account) for account in (a, b, c, d)] == [9_000, 11_000, 8_000, 12_000]
    assert not await owner.fetchval("SELECT count(*) FROM transfer.attempts WHERE event_id = $1", locked.event_id)


async def test_a_worker_that_was_frozen_in_a_transaction_loses_its_locks_and_its_transaction(
    settings: Settings, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Soon enough for its siblings; and it finds so when it goes on, as trouble that passes."""
    monkeypatch.setattr("services.transfer.service.WORKER_IDLE_MAX_S", 1)
    opened: list[Database] = []

    @asynccontextmanager
    async def opening(*arguments: Any, **named: Any) -> AsyncIterator[Database]:
        async with open_database(*arguments, **named) as database:
            opened.append(database)
            yield database

    monkeypatch.setattr("services.transfer.service.open_database", opening)
    account, locked = settlement_account_id("USD"), list[UUID]()
    locking = "SELECT 1 FROM transfer.accounts WHERE id = $1 FOR NO KEY UPDATE"
    async with open_service(settings):

        async def freezes() -> None:
            async with opened[0].transaction() as connection:
                await connection.execute(locking, account)
                async with owner.transaction() as another:
                    await another.execute(locking, account)
                    locked.append(account)
                await connection.execute(locking, account)

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as lost:
            await freezes()
    assert locked
    assert is_transient(lost.value)


async def test_an_envelope_of_another_type_on_the_queue_is_parked(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    """Routed here by mistake: never taken for what it is not."""
    command = account_command()
    async with transfer(settings):
        await broker.publish_body(SCREENED, seal([command]))

        async def parked() -> Any:
            return await owner.fetchrow(
                "SELECT detail FROM transfer.dead_letters WHERE item LIKE '%' || $1::text || '%'",
                str(command.command_id),
            )

        assert "does not belong" in (await eventually(parked))["detail"]
    assert not await owner.fetchval("SELECT 1 FROM transfer.accounts WHERE id = $1", command.account_id)


async def test_what_the_broker_gave_up_is_tried_alone_before_anybody_is_called(
    settings: Settings, broker: BrokerProbe, owner: Database
) -> None:
    """The delivery limit counts clean closes too: an innocent message ends, it is not parked."""
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        item = screened(from_account_id=a, to_account_id=b)
        await broker.publish_dead("transfer.screened", seal([item]))
        await told.at_least(1)
    assert await balance(owner, a) == 9_000
    assert not await owner.fetchval(
        "SELECT 1 FROM transfer.dead_letters WHERE item LIKE '%' || $1::text || '%'", str(item.instruction.transfer_id)
    )


async def test_a_deployment_half_done_is_waited_for(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A privilege is missing, as after a release without its migration: nothing is failed, nothing is parked."""
    monkeypatch.setattr("shared.messaging.retry.RETRY_WAITS_S", (0.0,))
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        item = screened(from_account_id=a, to_account_id=b)
        retries = _retries()

        async def was_refused_often() -> bool:
            return _retries() >= retries + 5

        await _execute(owner, "REVOKE INSERT ON transfer.transactions FROM remit_transfer")
        try:
            await broker.publish([item])
            await eventually(was_refused_often, timeout_s=30)
        finally:
            await _execute(owner, "GRANT INSERT ON transfer.transactions TO remit_transfer")
        [settled] = await told.at_least(1, timeout_s=30)
    assert isinstance(settled, TransferSettled)
    assert settled.status == "completed"
    assert await balance(owner, a) == 9_000


def _retries() -> float:
    return REGISTRY.get_sample_value("remit_batch_retries_total") or 0.0


async def _execute(owner: Database, statement: str) -> None:
    async with owner.transaction() as connection:
        await connection.execute(statement)


async def test_what_the_broker_wrongly_takes_for_delivered_comes_again(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The channel stays open, the consumer is known, and a message is nowhere: the next stream of deliveries has it."""
    lost: list[Any] = []

    class Losing(asyncio.Queue[Any]):
        def put_nowait(self, message: Any) -> None:
            if b"lose me" in message.body and not lost:
                lost.append(message)
            else:
                super().put_nowait(message)

    init = stream.Stream.__init__

    def losing(self: stream.Stream, channel: AbstractChannel) -> None:
        init(self, channel)
        self.inbox = Losing()

    monkeypatch.setattr(stream.Stream, "__init__", losing)
    monkeypatch.setattr(consumer, "_STREAM_S_MAX", 0.5)
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        await broker.publish([screened(from_account_id=a, to_account_id=b, description="lose me")])
        await told.at_least(1)
    assert len(lost) == 1
    assert await balance(owner, a) == 9_000


async def test_one_stream_after_another_loses_and_repeats_nothing(
    settings: Settings, broker: BrokerProbe, owner: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes over from the one before it under load; what that one had been given is carried first."""
    monkeypatch.setattr(consumer, "_STREAM_S_MAX", 0.01)
    opened = []
    begin = stream.Stream._begin

    async def counted(self: stream.Stream, queue: str, *how: int) -> None:
        opened.append(queue)
        await begin(self, queue, *how)

    monkeypatch.setattr(stream.Stream, "_begin", counted)
    async with transfer(settings):
        a, b = await funded_pair(broker)
        told = await broker.listen("transfer.settled")
        for _ in range(300):
            await broker.publish([screened(from_account_id=a, to_account_id=b, amount_minor=10)])
        await told.at_least(300)
        await eventually(partial(is_empty, broker, "transfer.screened"))
    assert await balance(owner, a) == 7_000
    assert len(told.items) == 300
    assert opened.count("transfer.screened") > 5
