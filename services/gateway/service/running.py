"""The gateway's life: what runs beside the calls, when it is ready, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from starlette.types import ASGIApp

from services.gateway.background import repeatedly
from services.gateway.console.assets import console_routes
from services.gateway.http.admission import UNDER_WAY, Admission
from services.gateway.http.application import application
from services.gateway.http.frame import ANSWERS
from services.gateway.http.protocol import Protocol
from services.gateway.idempotency.metrics import CALLS
from services.gateway.idempotency.records import HELD, Records
from services.gateway.identity.administrator import Administrator
from services.gateway.service.outside import SCHEMAS, Outside, open_outside
from services.gateway.service.wiring import calls_of, parts_of
from services.gateway.settings import Settings
from services.gateway.sweeper import SWEPT
from services.gateway.verifier import DIFFERENCES, Verifier
from services.gateway.watch import PipelineWatch
from shared.http import Bounds
from shared.messaging.connection import Link
from shared.messaging.replies import ReplyQueue
from shared.observability.health import Check
from shared.observability.loop import watch_loop
from shared.reporting import Counted, Reporter
from shared.runtime import serve_http

log = structlog.get_logger(__name__)

_BATCHERS_DRAIN_TIMEOUT_S = 5.0
_EPOCH_EVERY_S = 1.0
_COUNTED = {
    "answered": Counted(counter=ANSWERS, by="status"),
    "keys": Counted(counter=CALLS, by="how"),
    "swept": Counted(counter=SWEPT, by="done"),
}
_FIGURES = {"calls_under_way": UNDER_WAY, "held_records": HELD, "ledger_differences": DIFFERENCES}


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The parts that `run_gateway` gives life."""

    app: ASGIApp
    links: Sequence[Link]
    # Work that goes on until the process stops.
    background: Mapping[str, Callable[[], Awaitable[None]]]
    # What must be empty before the links go.
    drains: Sequence[Callable[[], Awaitable[None]]]


@asynccontextmanager
async def open_gateway(settings: Settings, stop: asyncio.Event) -> AsyncIterator[Gateway]:
    """The gateway of these settings. Opening it needs no server: it is ready from when they answer until `stop`."""
    async with open_outside(settings) as outside:
        yield _wired(settings, outside, stop)


def _wired(settings: Settings, outside: Outside, stop: asyncio.Event) -> Gateway:
    parts = parts_of(settings, outside)
    sweeper, records = parts.sweeper, parts.records
    replies = ReplyQueue(outside.replying, settings.instance, parts.outcomes.receive)
    administrator = Administrator(settings, parts.store, outside.passwords)
    verifier = Verifier(outside.verifying, parts.accounts, parts.ledger, every_s=settings.verify_every_s)
    outside.publishing.on_connect(parts.activities.wake)
    outside.publishing.on_connect(sweeper.broker_connected)
    reporter = Reporter(outside.databases["identity"], settings.instance, counters=_COUNTED, gauges=_FIGURES)
    checks = _checks(outside, records, replies, administrator, stop)
    return Gateway(
        app=application(calls_of(settings, outside, parts, stop), checks, console_routes()),
        links=(outside.publishing, outside.replying),
        background={
            "replies": replies.run,
            "outbox relay": parts.activities.run,
            "sweeper": sweeper.run,
            "completions": sweeper.complete,
            "forget": sweeper.forget,
            "epoch": lambda: repeatedly("epoch", records.check_epoch, every_s=_EPOCH_EVERY_S),
            "retention": records.retention.run,
            "refusals": parts.refusals.run,
            "verifier": verifier.run,
            "dead letters": parts.dead_letters.watch,
            "administrator": administrator.ensure,
            "pipeline": PipelineWatch(parts.pipeline).run,
            "report": reporter.run,
            "loop": watch_loop,
        },
        drains=(
            parts.callers.drain,
            parts.requests.drain,
            parts.refusals.drain,
            records.drain,
            parts.transfer_reads.drain,
            parts.activities.drain,
            parts.pipeline.drain,
            parts.trial_balances.drain,
        ),
    )


def _checks(
    outside: Outside, records: Records, replies: ReplyQueue, administrator: Administrator, stop: asyncio.Event
) -> Mapping[str, Check]:
    async def redis() -> bool:
        # A Redis that has just been wiped takes no gateway away: only the first settling is waited for.
        settled = records.epoch.is_settled or records.epoch.has_settled_once
        return settled and await outside.redis.is_alive()

    async def publishing() -> bool:
        return outside.publishing.takes_messages

    async def replying() -> bool:
        return replies.is_bound

    async def administrating() -> bool:
        return administrator.is_there

    async def staying() -> bool:
        return not stop.is_set()

    databases = {f"database {schema}": outside.databases[schema].is_alive for schema in SCHEMAS}
    return {
        **databases,
        "redis": redis,
        "broker publish": publishing,
        "broker replies": replying,
        "administrator": administrating,
        "staying": staying,
    }


async def run_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`: then is unready, ends what is open, and only then lets go of the servers."""
    async with open_gateway(settings, stop) as gateway, asyncio.TaskGroup() as group:
        lasting = [group.create_task(link.run(), name="link") for link in gateway.links]
        lasting += [group.create_task(_lasting(work), name=name) for name, work in gateway.background.items()]
        try:
            await serve_http(
                gateway.app,
                host=settings.http_host,
                port=settings.http_port,
                stop=stop,
                leave_s=settings.leave_s,
                drain_timeout_s=settings.drain_timeout_s,
                protocol=partial(Protocol, admission=Admission(calls_max=settings.calls_max)),
                bounds=Bounds(
                    connections_max=settings.connections_max,
                    head_timeout_s=settings.head_timeout_s,
                    body_timeout_s=settings.body_timeout_s,
                    read_timeout_s=settings.read_timeout_s,
                ),
            )
            log.info("stopping")
            await _drain(gateway)
        finally:
            for task in lasting:
                task.cancel()


async def _drain(gateway: Gateway) -> None:
    try:
        async with asyncio.timeout(_BATCHERS_DRAIN_TIMEOUT_S):
            for drain in gateway.drains:
                await drain()
    except TimeoutError:
        log.error("not_drained_in_time")


async def _lasting(work: Callable[[], Awaitable[None]]) -> None:
    await work()
