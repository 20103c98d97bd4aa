"""Transfer's composition root: the one file that knows its parts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from services.transfer.dead_letters import finality
from services.transfer.handlers import handlers
from services.transfer.metrics import SETTLED
from services.transfer.reconcile import LOCK_KEY, Commands, Transactions, open_downstream
from services.transfer.settings import Settings
from services.transfer.store import Store
from shared.contracts import topology
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand, DeadLetterCommand
from shared.database import WORKER_IDLE_MAX_S, open_database
from shared.messaging.connection import Link
from shared.messaging.consumer import Bounds as ConsumerBounds
from shared.messaging.consumer import Consumer, dead_letter_consumer
from shared.messaging.dead_letters import DeadLetters
from shared.messaging.publisher import Publisher
from shared.messaging.reconciler import Bounds, Reconciler, Sweep
from shared.messaging.replaying import replaying
from shared.observability.metrics import UNRECONCILED
from shared.reporting import Counted, Reporter
from shared.runtime import Worker
from shared.settings import drawn_instance


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Worker]:
    """Wires the worker; nothing connects before it runs."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(
                settings.database_url,
                name="remit_transfer",
                schema="transfer",
                connections_max=settings.database_connections_max,
                by_key=True,
                idle_max_s=WORKER_IDLE_MAX_S,
            )
        )
        downstream = await stack.enter_async_context(open_downstream(settings))
        # Apart, so that a broker that blocks publishers still takes our acknowledgements.
        consuming = Link(settings.amqp_url, name="transfer consume")
        publishing = Link(settings.amqp_url, name="transfer publish")
        publisher = Publisher(publishing, timeout_s=settings.publish_timeout_s)
        letters = DeadLetters(database)
        own = handlers(database, Store(database), letters)
        table = {**own, **replaying(database, letters, own, finality(database))}
        bounds = ConsumerBounds(
            prefetch_max=settings.prefetch_max,
            batch_items_max=settings.batch_items_max,
            priority=settings.consumer_priority,
        )
        consumers = [
            Consumer(consuming, publisher, letters, queue, {message_type: table[message_type]}, bounds)
            for queue, message_type in (
                ("transfer.screened", TransferScreened.TYPE),
                ("transfer.account_commands", AccountCommand.TYPE),
                (topology.command_queue("transfer"), DeadLetterCommand.TYPE),
            )
        ]
        consumers.append(dead_letter_consumer(consuming, publisher, letters, "transfer", table))
        sweep_bounds = Bounds(grace_s=settings.reconcile_grace_s, items_max=settings.reconcile_items_max)
        sweeps = [
            Sweep(source, publisher, sweep_bounds)
            for source in (Transactions(database, downstream), Commands(database, downstream))
        ]
        reconciler = Reconciler(database, sweeps, lock_key=LOCK_KEY, every_s=settings.reconcile_every_s)
        publishing.on_connect(reconciler.on_connect)
        settled = {"settled": Counted(counter=SETTLED, by="status")}
        absent = {"unreconciled_items": UNRECONCILED}
        reporter = Reporter(database, drawn_instance(), consumers=consumers, counters=settled, gauges=absent)
        yield Worker(
            http_host=settings.http_host,
            http_port=settings.http_port,
            links=[consuming, publishing],
            consumers=consumers,
            checks={"database": database.is_alive, "broker": publisher.is_ready},
            background={"reconciler": reconciler.run, "report": reporter.run},
        )
