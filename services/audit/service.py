"""Audit's composition root: the one file that knows its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import replace

from services.audit.checkpoints import Checkpoints
from services.audit.dead_letters import finality
from services.audit.handlers import QUEUE, handlers
from services.audit.settings import Settings
from services.audit.store import Store
from shared.audit_chain.stream import CheckpointStream, open_stream
from shared.contracts import topology
from shared.database import WORKER_IDLE_MAX_S, open_database
from shared.messaging.connection import Link
from shared.messaging.consumer import FOLLOWING_APART_S, Bounds, Consumer, dead_letter_consumer
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Publisher
from shared.messaging.replaying import replaying
from shared.reporting import Reporter
from shared.runtime import Worker
from shared.settings import drawn_instance


def _stream(url: str | None) -> AbstractAsyncContextManager[CheckpointStream | None]:
    return nullcontext() if url is None else open_stream(url)


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Worker]:
    """Wires the worker; nothing connects before it runs."""
    async with (
        open_database(
            settings.database_url,
            name="remit_audit",
            schema="audit",
            connections_max=settings.database_connections_max,
            by_key=True,
            idle_max_s=WORKER_IDLE_MAX_S,
        ) as database,
        _stream(settings.checkpoint_url) as stream,
    ):
        # One link: audit publishes nothing, so nothing can block its acknowledgements.
        link = Link(settings.amqp_url, name="audit consume")
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        letters, store = DeadLetters(database), Store(database)
        table = handlers(database, store, letters)
        replays = replaying(database, letters, table, finality(database))
        bounds = Bounds(
            prefetch_max=settings.prefetch_max,
            batch_items_max=settings.batch_items_max,
            priority=settings.consumer_priority,
        )
        following = replace(bounds, apart_s_min=FOLLOWING_APART_S)
        checkpoints = Checkpoints(store, stream, every_s=settings.checkpoint_every_s)
        consumers = [
            Consumer(link, publisher, letters, QUEUE, table, following),
            Consumer(link, publisher, letters, topology.command_queue("audit"), replays, bounds),
            dead_letter_consumer(link, publisher, letters, "audit", {**table, **replays}),
        ]
        reporter = Reporter(database, drawn_instance(), consumers=consumers)
        yield Worker(
            http_host=settings.http_host,
            http_port=settings.http_port,
            links=[link],
            consumers=consumers,
            checks={"database": database.is_alive, "broker": publisher.is_ready},
            background={"checkpoints": checkpoints.run, "report": reporter.run},
        )
