"""The ledger's composition root: the one file that knows its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from services.ledger.dead_letters import finality
from services.ledger.handlers import QUEUE, handlers
from services.ledger.settings import Settings
from services.ledger.store import Store
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


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Worker]:
    """Wires the worker; nothing connects before it runs."""
    async with open_database(
        settings.database_url,
        name="remit_ledger",
        schema="ledger",
        connections_max=settings.database_connections_max,
        by_key=True,
        idle_max_s=WORKER_IDLE_MAX_S,
    ) as database:
        # One link: the ledger publishes nothing, so nothing can block its acknowledgements.
        link = Link(settings.amqp_url, name="ledger consume")
        publisher = Publisher(link, timeout_s=settings.publish_timeout_s)
        letters = DeadLetters(database)
        table = handlers(database, Store(database), letters)
        replays = replaying(database, letters, table, finality(database))
        bounds = Bounds(
            prefetch_max=settings.prefetch_max,
            batch_items_max=settings.batch_items_max,
            priority=settings.consumer_priority,
        )
        following = replace(bounds, apart_s_min=FOLLOWING_APART_S)
        consumers = [
            Consumer(link, publisher, letters, QUEUE, table, following),
            Consumer(link, publisher, letters, topology.command_queue("ledger"), replays, bounds),
            dead_letter_consumer(link, publisher, letters, "ledger", {**table, **replays}),
        ]
        reporter = Reporter(database, drawn_instance(), consumers=consumers)
        yield Worker(
            http_host=settings.http_host,
            http_port=settings.http_port,
            links=[link],
            consumers=consumers,
            checks={"database": database.is_alive, "broker": publisher.is_ready},
            background={"report": reporter.run},
        )
