"""The life of a process: start, run until a signal, stop inside a deadline. Every task has a parent."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp

from shared.errors import SettingsError
from shared.http import BoundedProtocol, Bounds, connections_possible
from shared.messaging.connection import Link
from shared.messaging.consumer import Consumer
from shared.observability.health import Check, health_app
from shared.observability.logs import configure_logs
from shared.observability.loop import watch_loop
from shared.observability.traces import tracing
from shared.settings import Environment, logs_from, traces_from

log = structlog.get_logger(__name__)

# As `malloc.h` numbers them: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD in bytes, M_ARENA_MAX.
_MALLOC = ((-3, 128 * 1024), (-1, 1024 * 1024), (-8, 1))


def run(service: str, serve: Callable[[Environment, asyncio.Event], Awaitable[None]]) -> None:
    """Runs a service until SIGTERM or SIGINT sets the event that `serve` is given; a wrong setting ends in one line."""
    environment = os.environ

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(environment, stop)

    try:
        logs = logs_from(environment)
        configure_logs(service, as_json=logs.format == "json", level=logs.level)
        with tracing(service, traces_from(environment)):
            _return_memory()
            _collect_rarely()
            uvloop.run(main())
    except SettingsError as error:
        sys.exit(f"{service}: {error}")
    except BaseExceptionGroup as group:
        # A part of the process found it, beside others that were stopped.
        if (wrong := _first(group)) is None:
            raise
        sys.exit(f"{service}: {wrong}")
    log.info("stopped")


def _first(group: BaseExceptionGroup[BaseException]) -> SettingsError | None:
    for error in group.exceptions:
        found = _first(error) if isinstance(error, BaseExceptionGroup) else error
        if isinstance(found, SettingsError):
            return found
    return None


def _return_memory() -> None:
    """Buffers of bodies and envelopes go back to the system when they are freed.

    By itself glibc takes the size of the largest one it ever freed for the size below which all stay on its heap, in
    pieces. Other C libraries have no `mallopt`, and none of this.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC:
            mallopt(parameter, value)


def _collect_rarely() -> None:
    """Garbage in cycles is rare here, and looking for it among all live objects costs a sixth of a call.

    What stands after the imports stays, and is not looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class CannotListen(SettingsError):
    """A process cannot listen where its host and port say."""


def _reason(error: BaseException | None) -> str:
    """The system's word for it; an error's own text may name the address."""
    if not isinstance(error, OSError) or error.errno is None:
        return type(error).__name__
    # What the resolver says is counted below zero.
    return os.strerror(error.errno) if error.errno > 0 else error.strerror or type(error).__name__


class _Server(uvicorn.Server):
    """Uvicorn as one task among others: signals are the process's, not the server's, and so is the end of it."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listens.

        Raises:
            CannotListen: the host is none, or not of this machine, or the port is taken.
        """
        said = logging.getLogger("uvicorn.error")
        # It would be said twice, and once without the service's name.
        said.disabled = True
        try:
            await super().startup(sockets)
        except SystemExit as error:
            raise CannotListen(f"cannot listen where its HOST and PORT say: {_reason(error.__context__)}") from None
        finally:
            said.disabled = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def ask_to_leave(self) -> None:
        """Every answer from here on is the last one on its connection, and says so."""
        last = (b"connection", b"close")
        self.config.encoded_headers.append(last)
        self.server_state.default_headers = [*self.server_state.default_headers, last]


async def serve_http(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    leave_s: float = 0.0,
    drain_timeout_s: int = 10,
    protocol: Callable[..., BoundedProtocol] = BoundedProtocol,
    bounds: Bounds = Bounds(),  # noqa: B008 - frozen
) -> None:
    """Serves `app` until `stop` and `leave_s` after it, then lets open requests end, within `drain_timeout_s`.

    A proxy learns of a leaving server later than the server itself. Until it has, it opens connections, and those that
    meet a closing socket are reset, with a request on its way that nobody can tell the outcome of. So the socket stays
    open until the proxy has seen that `app` is not ready any more.

    `protocol` makes a connection's protocol; it is given the bounds and what the server gives.
    """
    bounds = replace(bounds, connections_max=connections_possible(bounds.connections_max))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=partial(protocol, bounds=bounds),  # type: ignore[arg-type] # any callable; it is typed for classes
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_keep_alive=bounds.keep_alive_timeout_s,
        timeout_graceful_shutdown=drain_timeout_s,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="http")
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if not serving.done():
        server.ask_to_leave()
        await asyncio.wait({serving}, timeout=leave_s)
    server.should_exit = True
    await serving


@dataclass(frozen=True, kw_only=True)
class Worker:
    """The parts of a worker, wired by its `service.py`; `run_worker` gives them life."""

    http_host: str
    http_port: int
    links: Sequence[Link]
    consumers: Sequence[Consumer]
    checks: Mapping[str, Check]
    # Work that goes on until the process stops: reconcilers, checkpoints.
    background: Mapping[str, Callable[[], Awaitable[None]]]
    drain_timeout_s: float = 20.0


async def run_worker(worker: Worker, stop: asyncio.Event) -> None:
    """Runs a worker's parts until `stop`; then finishes the batches in hand, and only then lets go of the broker.

    A part that fails takes the process down: a worker that is half alive is worse than one that is restarted.
    """
    http_stop = asyncio.Event()
    app = health_app(
        {
            **worker.checks,
            **{f"consumer {c.queue}": c.is_consuming for c in worker.consumers},
        }
    )
    async with asyncio.TaskGroup() as group:
        lasting = [group.create_task(link.run(), name="link") for link in worker.links]
        lasting += [group.create_task(_coroutine(work()), name=name) for name, work in worker.background.items()]
        lasting.append(group.create_task(watch_loop(), name="loop"))
        http = group.create_task(
            serve_http(
                app,
                host=worker.http_host,
                port=worker.http_port,
                stop=http_stop,
                drain_timeout_s=2,
            )
        )
        working = [group.create_task(consumer.run(), name=consumer.queue) for consumer in worker.consumers]
        await _first_of(stop, http)
        log.info("stopping")
        for consumer in worker.consumers:
            consumer.stop()
        await _finish(working, worker.drain_timeout_s)
        for task in lasting:
            task.cancel()
        http_stop.set()


async def _finish(working: Sequence[asyncio.Task[None]], timeout_s: float) -> None:
    if not working:
        return
    _, unfinished = await asyncio.wait(working, timeout=timeout_s)
    for task in unfinished:
        # Its transaction rolls back or has committed; either way the unacked messages come again.
        log.error("batch_not_finished_in_time", queue=task.get_name())
        task.cancel()


async def _first_of(stop: asyncio.Event, task: asyncio.Task[None]) -> None:
    waiting = asyncio.ensure_future(stop.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


async def _coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable
