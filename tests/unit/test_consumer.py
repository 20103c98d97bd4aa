"""What a consumer tells of itself, and how it hangs on without a broker."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

from shared.errors import TransientError
from shared.messaging import consumer as module
from shared.messaging.connection import Link
from shared.messaging.consumer import Consumer, described
from shared.messaging.publisher import Emission
from shared.messaging.retry import ServerDown
from tests.support.builders import requested


@pytest.fixture
def consumer() -> Consumer:
    nobody: Any = None
    return Consumer(Link("amqp://nobody", name="test"), nobody, nobody, "test.queue", {})


def test_one_without_a_stream_has_nothing_in_hand(consumer: Consumer) -> None:
    assert consumer.unacknowledged == 0


async def test_what_goes_on_failing_is_asked_less_and_less_often(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def up() -> None:
        pass

    async def fails() -> None:
        raise TransientError("again")

    async def paused(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 8:
            consumer.stop()

    monkeypatch.setattr(consumer._link, "wait_up", up)
    monkeypatch.setattr(consumer, "_session", fails)
    monkeypatch.setattr(asyncio, "sleep", paused)
    await asyncio.create_task(consumer.run())
    first, most = module._PAUSE_FIRST_S, module._PAUSE_MAX_S
    assert pauses == [min(first * 2**n, most) for n in range(8)]
    assert pauses[-1] == most


async def test_a_batch_that_was_carried_ends_the_long_pauses(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*_: Any, **__: Any) -> Emission:
        return Emission()

    message: Any = SimpleNamespace(delivery_tag=1, ack=nothing)
    channel: Any = SimpleNamespace(is_closed=False)
    monkeypatch.setattr(consumer, "_carry", nothing)
    monkeypatch.setattr(consumer, "_publisher", SimpleNamespace(emit=nothing))
    consumer._pause_s = module._PAUSE_MAX_S
    assert await asyncio.create_task(consumer._finish(channel, [module._Delivery(message, [], [])], 0)) == 1
    assert consumer._pause_s == module._PAUSE_FIRST_S


async def test_what_is_being_carried_is_in_hand(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline's page tells so of a worker that stands still with a batch."""
    in_hand: list[int] = []

    async def carries(*_: Any) -> Emission:
        in_hand.append(consumer.unacknowledged)
        return Emission()

    async def nothing(*_: Any, **__: Any) -> None:
        pass

    messages: list[Any] = [SimpleNamespace(delivery_tag=n, ack=nothing) for n in (1, 2)]
    channel: Any = SimpleNamespace(is_closed=False)
    monkeypatch.setattr(consumer, "_carry", carries)
    monkeypatch.setattr(consumer, "_publisher", SimpleNamespace(emit=nothing))
    deliveries = [module._Delivery(message, [], []) for message in messages]
    await asyncio.create_task(consumer._finish(channel, deliveries, 0))
    assert [*in_hand, consumer.unacknowledged] == [2, 0]


async def test_what_cannot_be_parked_goes_back(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Acknowledged it would be gone for good."""

    async def refuses(_: Any) -> None:
        raise TransientError("no database")

    monkeypatch.setattr(consumer, "_dead_letters", SimpleNamespace(park=refuses))
    with pytest.raises(ServerDown):
        await consumer._park([])


async def test_the_tries_of_an_item_are_forgotten_when_it_was_carried_alone(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it would be parked for tries that are long over, should it ever come back."""
    item, forgotten = requested(), list[UUID]()

    async def counted(_: UUID) -> int:
        return 1

    async def forgets(event_id: UUID) -> None:
        forgotten.append(event_id)

    async def carries(*_: Any) -> Emission:
        return Emission()

    monkeypatch.setattr(consumer, "_dead_letters", SimpleNamespace(count_try=counted, forget=forgets))
    monkeypatch.setattr(consumer, "_carry_run", carries)
    consumer._handlers = {item.TYPE: Mock()}
    await consumer._carry_alone(item)
    assert forgotten == [item.event_id]


async def test_a_consumer_that_the_broker_has_forgotten_begins_anew(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes, nothing is closed: only whoever asks learns of it."""

    async def never() -> None:
        await asyncio.Event().wait()

    async def unknown(_: str) -> bool:
        return False

    monkeypatch.setattr(module, "_WATCHDOG_EVERY_S", 0.001)
    channel = SimpleNamespace(closed=never)
    stream: Any = SimpleNamespace(channel=channel, inbox=asyncio.Queue(), age_s=0.0, is_known=unknown)
    async with asyncio.timeout(5.0):
        assert await consumer._work(stream) is False


def test_an_error_is_described_by_its_end_and_within_bounds() -> None:
    error = ValueError(f"{'x' * 10_000} at last")
    assert described(error) == described(error)[-4_000:]
    assert described(error).endswith("x at last\n")
    assert "ValueError: short" in described(ValueError("short"))
