"""The client ends what waits on a closed connection with a bare error; here it is a lost connection, nothing else."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from aiormq.exceptions import ChannelNotFoundEntity

from shared.messaging.connection import BrokerUnavailable, Link, losses_named
from shared.messaging.publisher import Emission, Publisher, TopologyMissing
from shared.messaging.stream import Stream
from tests.support.builders import settled


async def _ended(*_: Any, **__: Any) -> None:
    raise Exception  # noqa: TRY002 - as the client does it


async def _exchange(*_: Any, **__: Any) -> Any:
    return SimpleNamespace(publish=_ended)


async def _done(*_: Any, **__: Any) -> None:
    return None


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """One whose every publish ends so."""

    async def opened(self: Publisher, *, confirms: bool) -> Any:
        return SimpleNamespace(get_exchange=_exchange, declare_queue=_done, close=_done)

    monkeypatch.setattr(Publisher, "_channel", opened)
    return Publisher(Link("amqp://nobody", name="test"), timeout_s=1)


async def test_an_envelope_is_not_confirmed(publisher: Publisher) -> None:
    with pytest.raises(BrokerUnavailable):
        await publisher.publish([settled()])


async def test_a_queue_that_is_not_there_is_named(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is a deployment half done and no broker that is away."""

    async def missing(*_: Any, **__: Any) -> None:
        raise ChannelNotFoundEntity("NOT_FOUND - no queue 'ledger.settled' in vhost '/'")

    async def opened(*, confirms: bool) -> Any:
        return SimpleNamespace(get_exchange=_exchange, declare_queue=missing, close=_done)

    monkeypatch.setattr(publisher, "_channel", opened)
    with pytest.raises(TopologyMissing, match="does not exist"):
        await publisher.publish([settled()])


async def test_a_reply_is_lost_and_no_more(publisher: Publisher) -> None:
    """What follows it is published all the same."""
    await publisher.emit(Emission(replies=[("gateway", settled())]))


async def test_a_consumer_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    channel: Any = SimpleNamespace(is_closed=False, declare_queue=_ended, close=_ended)
    stream = Stream(channel)
    assert not await stream.is_known("ledger.settled")
    await stream.close()


async def test_an_error_of_ours_stays_one() -> None:
    with pytest.raises(KeyError), losses_named():
        raise KeyError("x")


async def _deaf(error: Exception | None) -> None:
    """As the client waits: who tells it to stop gets what it waited for, or the error of that."""
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [None, OSError("reset"), Exception(), KeyError("x")], ids=repr)
async def test_who_is_told_to_stop_while_the_broker_is_asked_stops(error: Exception | None) -> None:
    async def asking() -> None:
        with losses_named():
            await _deaf(error)

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()


async def test_what_is_tidied_after_a_stop_is_not_cut_short() -> None:
    """The stop was heard before; it is not said again at each call that the leaving makes."""
    tidied = False

    async def asking() -> None:
        nonlocal tidied
        try:
            await asyncio.Event().wait()
        finally:
            with losses_named():
                await asyncio.sleep(0)
            tidied = True

    task = asyncio.create_task(asking())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert tidied


async def test_a_time_limit_inside_is_not_a_stop() -> None:
    with pytest.raises(TimeoutError), losses_named():
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
