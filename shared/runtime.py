"""The life of a process: start, run until a signal, stop inside a deadline. Every task has a parent."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import structlog
import uvicorn
import uvloop
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from shared.errors import SettingsError
from shared.messaging.connection import Link
from shared.messaging.consumer import Consumer
from shared.observability.health import Check, health_app
from shared.observability.logs import configure_logs
from shared.settings import Environment

log = structlog.get_logger(__name__)


def run(service: str, serve: Callable[[Environment, asyncio.Event], Awaitable[None]]) -> None:
    """Runs a service until SIGTERM or SIGINT sets the event that `serve` is given; a wrong setting ends in one line."""
    environment = os.environ
    configure_logs(
        service,
        as_json=environment.get("REMIT_LOG_FORMAT", "json") != "text",
        level=environment.get("REMIT_LOG_LEVEL", "INFO").upper(),
    )

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await serve(environment, stop)

    try:
        uvloop.run(main())
    except SettingsError as error:
        sys.exit(f"{service}: {error}")
    log.info("stopped")


class _Server(uvicorn.Server):
    """Uvicorn as one task among others: signals are the process's, not the server's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_http(
    app: ASGIApp,
    *,
    host: str,
    port: int,
    stop: asyncio.Event,
    drain_timeout_s: int = 10,
    protocol: type[asyncio.Protocol] = HttpToolsProtocol,
) -> None:
    """Serves `app` until `stop`, then lets open requests end, within `drain_timeout_s`."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=True,
        proxy_headers=False,
        timeout_graceful_shutdown=drain_timeout_s,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(), name="http")
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
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
