"""A broker connection that is opened again whenever it is lost. What hung on the lost one is never used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError

from shared.errors import Unavailable

log = structlog.get_logger(__name__)

BROKER_ERRORS: tuple[type[Exception], ...] = (
    AMQPError,
    OSError,
    TimeoutError,
    asyncio.InvalidStateError,
    RuntimeError,
)

_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 3.0
_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 3.0
# A dead peer is noticed after about three of these.
_HEARTBEAT_S = 10


class BrokerUnavailable(Unavailable):
    """The broker does not answer, or blocks publishers; nothing was confirmed."""


class Link:
    """One connection to the broker under supervision: `run` keeps it open, `channel` uses it while it is."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._up = asyncio.Event()
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_up(self) -> bool:
        return self._connection is not None and not self._connection.is_closed

    def on_connect(self, listener: Callable[[], None]) -> None:
        """Calls `listener` after each successful connect; it must not block."""
        self._listeners.append(listener)

    async def wait_up(self) -> None:
        """Returns once the connection is open."""
        while not self.is_up:
            await self._up.wait()

    async def run(self) -> None:
        """Connects, waits for the loss, connects again; until cancelled."""
        pause_s = _RETRY_FIRST_S
        try:
            while True:
                try:
                    lost = await self._connect()
                except BROKER_ERRORS as error:
                    log.warning(
                        "broker_connect_failed",
                        link=self._name,
                        error=type(error).__name__,
                    )
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _RETRY_MAX_S)
                    continue
                pause_s = _RETRY_FIRST_S
                await lost.wait()
                # The lost connection may not call itself closed yet; nobody is to try it again.
                self._connection = None
                self._up.clear()
                log.warning("broker_connection_lost", link=self._name)
        finally:
            await self._close()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Link]:
        """The link, open, for the length of a short task; `run` goes on beside it.

        Raises:
            BrokerUnavailable: the broker does not answer in time.
        """
        running = asyncio.create_task(self.run(), name=f"link {self._name}")
        try:
            try:
                await asyncio.wait_for(self.wait_up(), _CONNECT_TIMEOUT_S)
            except TimeoutError:
                raise BrokerUnavailable from None
            yield self
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def _connect(self) -> asyncio.Event:
        lost = asyncio.Event()
        connection = await aio_pika.connect(
            self._url,
            timeout=_CONNECT_TIMEOUT_S,
            heartbeat=_HEARTBEAT_S,
            client_properties={"connection_name": self._name},
        )
        connection.close_callbacks.add(lambda *_: lost.set())
        self._connection = connection
        self._up.set()
        for listener in self._listeners:
            listener()
        return lost

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            with suppress(*BROKER_ERRORS):
                await asyncio.wait_for(connection.close(), _CLOSE_TIMEOUT_S)

    @asynccontextmanager
    async def channel(self, *, confirms: bool) -> AsyncIterator[AbstractChannel]:
        """A channel of the present connection, closed at the end.

        Raises:
            BrokerUnavailable: there is no connection now, or it does not answer.
        """
        channel = await self.open_channel(confirms=confirms)
        try:
            yield channel
        finally:
            with suppress(*BROKER_ERRORS):
                await asyncio.wait_for(channel.close(), _CLOSE_TIMEOUT_S)

    async def open_channel(self, *, confirms: bool) -> AbstractChannel:
        """A channel of the present connection; whoever opens it closes it.

        Raises:
            BrokerUnavailable: there is no connection now, or it does not answer.
        """
        connection = self._connection
        if connection is None or connection.is_closed:
            raise BrokerUnavailable
        try:
            channel = connection.channel(publisher_confirms=confirms, on_return_raises=confirms)
            await asyncio.wait_for(channel.initialize(timeout=_CONNECT_TIMEOUT_S), _CONNECT_TIMEOUT_S)
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"no channel: {type(error).__name__}") from error
        return channel
