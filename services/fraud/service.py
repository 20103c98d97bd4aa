"""Fraud's composition root: the one file that knows its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import structlog

from services.fraud.dead_letters import finality
from services.fraud.domain import OFF, Limits
from services.fraud.handlers import handlers
from services.fraud.reconcile import LOCK_KEY, Decisions, open_downstream
from services.fraud.settings import PREFIX, Settings
from services.fraud.store import Store
from shared.contracts import topology
from shared.contracts.gateway import DeadLetterCommand, TransferRequested
from shared.contracts.transfer import TransferSettled
from shared.database import WORKER_IDLE_MAX_S, open_database
from shared.messaging.connection import Link
from shared.messaging.consumer import FOLLOWING_APART_S, SCREENING_APART_S, Consumer, dead_letter_consumer
from shared.messaging.consumer import Bounds as ConsumerBounds
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Publisher
from shared.messaging.reconciler import Bounds, Reconciler, Sweep
from shared.messaging.replaying import replaying
from shared.observability.metrics import UNRECONCILED
from shared.reporting import Reporter
from shared.runtime import Worker
from shared.settings import drawn_instance

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Worker]:
    """Wires the worker; nothing connects before it runs."""
    _announce(settings.limits)
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database_url,
                name="remit_fraud",
                schema="fraud",
                connections_max=settings.database_connections_max,
                by_key=True,
                idle_max_s=WORKER_IDLE_MAX_S,
            )
        )
        downstream = await stack.enter_async_context(open_downstream(settings))
        # Apart, so that a broker that blocks publishers still takes our acknowledgements.
        consuming = Link(settings.amqp_url, name="fraud consume")
        publishing = Link(settings.amqp_url, name="fraud publish")
        publisher = Publisher(publishing, timeout_s=settings.publish_timeout_s)
        letters = DeadLetters(database)
        own = handlers(database, Store(database, settings.limits), letters)
        table = {**own, **replaying(database, letters, own, finality(database))}
        bounds = ConsumerBounds(
            prefetch_max=settings.prefetch_max,
            batch_items_max=settings.batch_items_max,
            priority=settings.consumer_priority,
        )
        screening = replace(bounds, apart_s_max=SCREENING_APART_S)
        following = replace(bounds, apart_s_min=FOLLOWING_APART_S)
        consumers = [
            Consumer(consuming, publisher, letters, queue, {message_type: table[message_type]}, how)
            for queue, message_type, how in (
                ("fraud.requested", TransferRequested.TYPE, screening),
                ("fraud.settled", TransferSettled.TYPE, following),
                (topology.command_queue("fraud"), DeadLetterCommand.TYPE, bounds),
            )
        ]
        consumers.append(dead_letter_consumer(consuming, publisher, letters, "fraud", table))
        sweep_bounds = Bounds(grace_s=settings.reconcile_grace_s, items_max=settings.reconcile_items_max)
        sweep = Sweep(Decisions(database, downstream), publisher, sweep_bounds)
        reconciler = Reconciler(database, [sweep], lock_key=LOCK_KEY, every_s=settings.reconcile_every_s)
        publishing.on_connect(reconciler.on_connect)
        absent = {"unreconciled_items": UNRECONCILED}
        limits = {**settings.limits.texts, "limits_version": settings.limits.version}
        reporter = Reporter(database, drawn_instance(), consumers=consumers, gauges=absent, settings=limits)
        yield Worker(
            http_host=settings.http_host,
            http_port=settings.http_port,
            links=[consuming, publishing],
            consumers=consumers,
            checks={"database": database.is_alive, "broker": publisher.is_ready},
            background={"reconciler": reconciler.run, "report": reporter.run},
        )


def _announce(limits: Limits) -> None:
    """The version stands with every verdict; this is where one finds what it means."""
    log.info("limits", version=limits.version, **limits.texts)
    for name, text in limits.texts.items():
        if text == OFF:
            log.warning("limit_off", setting=f"{PREFIX}{name.upper()}")
