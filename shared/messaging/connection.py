"""A broker connection that is opened again whenever it is lost. What hung on the lost one is never used again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import AMQPError

from shared.errors import Unavailable
from shared.observability.metrics import BROKER_BLOCKED, BROKER_UP

log = structlog.get_logger(__name__)

BROKER_ERRORS: tuple[type[Exception], ...] = (
    AMQPError,
    OSError,
    TimeoutError,
    asyncio.InvalidStateError,
    RuntimeError,
    # aiormq's word for a connection that ends in the middle of its greeting.
    StopAsyncIteration,
)

_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 3.0
_RETRY_FIRST_S = 0.2
_RETRY_MAX_S = 3.0
# How often we look whether the broker blocks us, and how long "not blocked" may take to be said.
_LOOK_EVERY_S = 0.25
_READY_WITHIN_S = 0.05
# A dead peer is noticed after about three of these.
_HEARTBEAT_S = 10


@contextmanager
def losses_named() -> Iterator[None]:
    """Around each call of the broker. The client ends what waits on a closed connection with an error without any class
    of its own, which nobody could tell from a bug of ours; it leaves here as a lost connection.

    And it may swallow that we were told to stop: it waits with `asyncio.wait_for`, which before Python 3.12 gives the
    result of a call that has just ended instead of the cancellation. Nobody says it twice; so it is said again here.
    """
    task = asyncio.current_task()
    told = 0 if task is None else task.cancelling()
    try:
        yield
    except Exception as error:
        if task is not None and task.cancelling() > told:
            raise asyncio.CancelledError from error
        if type(error) is not Exception:
            raise
        raise ConnectionError("closed while the broker was asked") from error
    if task is not None and task.cancelling() > told:
        raise asyncio.CancelledError


class BrokerUnavailable(Unavailable):
    """The broker does not answer, or blocks publishers; nothing was confirmed."""


class TidyConnection(aio_pika.Connection):
    """A connection that is closed if it could not be opened; its finaliser would do it wherever it happens to run."""

    async def connect(self, timeout: float | None = None) -> None:
        """Opens it, or leaves nothing behind."""
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise


class Link:
    """One connection to the broker under supervision: `run` keeps it open, `channel` uses it while it is."""

    def __init__(self, url: str, *, name: str) -> None:
        self._url = url
        self._name = name
        self._connection: AbstractConnection | None = None
        self._blocked = False
        self._up = asyncio.Event()
        self._lost = asyncio.Event()
        self._closing: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[], None]] = []
        BROKER_UP.labels(name).set_function(lambda: float(self.is_up))
        BROKER_BLOCKED.labels(name).set_function(lambda: float(self.is_blocked))

    @property
    def is_up(self) -> bool:
        return self._connection is not None and not self._connection.is_closed

    @property
    def is_blocked(self) -> bool:
        """Whether the broker blocks what is published on it, as it does when memory or disk run out."""
        return self._blocked

    @property
    def takes_messages(self) -> bool:
        """Whether it is up, and not blocked."""
        return self.is_up and not self._blocked

    @property
    def loss(self) -> asyncio.Event:
        """Set when the present connection is lost. Who keeps a channel keeps this too: channels are not always told."""
        return self._lost

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
                    with losses_named():
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
                await self._watched_until(lost)
                log.warning("broker_connection_lost", link=self._name)
                # It may not call itself closed yet; nobody is to try it again.
                self._let_go()
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
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await self.wait_up()
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
            connection_class=TidyConnection,
        )
        connection.close_callbacks.add(lambda *_: lost.set())
        self._connection, self._lost = connection, lost
        self._up.set()
        for listener in self._listeners:
            listener()
        return lost

    async def _watched_until(self, lost: asyncio.Event) -> None:
        watching = asyncio.create_task(self._watch(lost), name=f"link {self._name} watch")
        try:
            await lost.wait()
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            self._blocked = False

    async def _watch(self, lost: asyncio.Event) -> None:
        """Notices that the broker blocks us: there is no call for that, but one that waits for it to end. And that the
        connection is gone where nobody said so: a broker killed soon after it started was seen to leave such ones."""
        while self._connection is not None and self._connection.transport is not None:
            if self._connection.transport.connection.is_closed:
                lost.set()
                return
            ready = self._connection.transport.connection.ready
            try:
                async with asyncio.timeout(_READY_WITHIN_S):
                    await ready()
            except TimeoutError:
                self._blocked = True
                log.warning("broker_blocks", link=self._name)
                await ready()
                self._blocked = False
                log.warning("broker_takes_messages_again", link=self._name)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _let_go(self) -> None:
        """Closes the connection beside what follows: the broker may still believe in it, and keep a queue for it."""
        connection, self._connection = self._connection, None
        self._up.clear()
        if connection is not None:
            closing = asyncio.create_task(_closed(connection), name=f"link {self._name} close")
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _close(self) -> None:
        self._let_go()
        await asyncio.gather(*self._closing)

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
            with suppress(*BROKER_ERRORS), losses_named():
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await channel.close()

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
            with losses_named():
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await channel.initialize(timeout=_CONNECT_TIMEOUT_S)
        except BROKER_ERRORS as error:
            raise BrokerUnavailable(f"no channel: {type(error).__name__}") from error
        return channel


async def _closed(connection: AbstractConnection) -> None:
    with suppress(*BROKER_ERRORS), losses_named():
        async with asyncio.timeout(_CLOSE_TIMEOUT_S):
            await connection.close()
