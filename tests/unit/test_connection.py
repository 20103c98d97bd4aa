"""A link goes on trying, whatever answers in the broker's place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aio_pika
import pytest
from aio_pika.connection import make_url

from shared.messaging import connection
from shared.messaging.connection import BROKER_ERRORS, BrokerUnavailable, Link, TidyConnection
from tests.support.waiting import eventually


class _Impostor:
    """Takes connections, says something or nothing, and ends them."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self.greeted = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.greeted += 1
        await reader.read(8)
        writer.write(self._says)
        writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        async with await asyncio.start_server(self.serve, "127.0.0.1", 0) as server:
            yield int(server.sockets[0].getsockname()[1])


@pytest.mark.parametrize("says", [b"", b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x01\x00\x00"])
async def test_a_connection_that_ends_in_its_greeting_is_tried_again(
    says: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a proxy in front of a broker that is starting ends it."""
    monkeypatch.setattr(connection, "_RETRY_FIRST_S", 0.01)
    impostor = _Impostor(says)
    async with impostor.running() as port:
        link = Link(f"amqp://guest:guest@127.0.0.1:{port}/", name="test")
        running = asyncio.create_task(link.run())

        async def tried_or_given_up() -> bool:
            return impostor.greeted >= 3 or running.done()

        await eventually(tried_or_given_up)
        assert not running.done()
        assert not link.is_up
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize(("is_closed", "is_blocked"), [(False, False), (False, True), (True, False)])
def test_a_link_takes_messages_while_it_is_up_and_not_blocked(*, is_closed: bool, is_blocked: bool) -> None:
    link = Link("amqp://nobody", name="test")
    assert not link.takes_messages
    there: Any = SimpleNamespace(is_closed=is_closed)
    link._connection, link._blocked = there, is_blocked
    assert link.takes_messages is not (is_closed or is_blocked)


async def test_a_connection_that_could_not_be_opened_leaves_nothing_to_its_finaliser() -> None:
    """That would close it from wherever garbage is collected: in a test of somebody else, or outside any loop."""
    impostor = _Impostor(b"")
    async with impostor.running() as port:
        connection = TidyConnection(make_url(f"amqp://guest:guest@127.0.0.1:{port}/"))
        with pytest.raises(BROKER_ERRORS):
            await connection.connect(timeout=5)
    assert connection.is_closed


async def test_a_broker_that_stays_away_is_asked_less_and_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def away(*_: Any, **__: Any) -> None:
        raise ConnectionError

    async def paused(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 6:
            raise asyncio.CancelledError

    monkeypatch.setattr(aio_pika, "connect", away)
    monkeypatch.setattr(asyncio, "sleep", paused)
    with pytest.raises(asyncio.CancelledError):
        await Link("amqp://nobody", name="test").run()
    assert pauses == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0]


async def test_a_link_that_is_opened_for_a_short_task_gives_up_in_time_and_leaves_nothing_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_CONNECT_TIMEOUT_S", 0.05)
    impostor = _Impostor(b"")
    before = asyncio.all_tasks()
    async with impostor.running() as port:
        with pytest.raises(BrokerUnavailable):
            async with Link(f"amqp://guest:guest@127.0.0.1:{port}/", name="test").opened():
                raise AssertionError("unreachable: there is no broker")
    left = [task.get_name() for task in asyncio.all_tasks() - before if "link" in task.get_name()]
    assert left == []


async def test_a_channel_is_of_the_present_connection_and_is_closed_at_the_end() -> None:
    closed: list[bool] = []

    async def close() -> None:
        closed.append(True)

    async def initialize(**_: Any) -> None:
        pass

    own = SimpleNamespace(initialize=initialize, close=close)
    there: Any = SimpleNamespace(is_closed=False, channel=lambda **_: own)
    link = Link("amqp://nobody", name="test")
    with pytest.raises(BrokerUnavailable):
        await link.open_channel(confirms=False)
    link._connection = there
    async with link.channel(confirms=False) as channel:
        found: Any = channel
        assert found is own
        assert not closed
    assert closed == [True]


async def test_a_loss_that_nobody_reports_is_noticed() -> None:
    """No callback came; the connection only says of itself that it is closed."""
    link = Link("amqp://nobody", name="test")
    gone: Any = SimpleNamespace(transport=SimpleNamespace(connection=SimpleNamespace(is_closed=True)))
    link._connection = gone
    async with asyncio.timeout(2):
        await link._watched_until(asyncio.Event())


async def test_a_link_that_is_told_to_stop_while_it_connects_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client may answer the cancellation with what it got from the broker in the same moment."""
    monkeypatch.setattr(connection, "_RETRY_FIRST_S", 0.01)
    connecting = asyncio.Event()

    async def deaf(*_: Any, **__: Any) -> None:
        connecting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectionError from None

    monkeypatch.setattr(aio_pika, "connect", deaf)
    running = asyncio.create_task(Link("amqp://nobody", name="test").run())
    await connecting.wait()
    running.cancel()
    await asyncio.wait({running}, timeout=5)
    assert running.cancelled()
