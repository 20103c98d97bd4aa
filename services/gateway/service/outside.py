"""What the gateway stands on: databases, Redis, the broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from services.gateway.idempotency.redis import Redis, open_redis
from services.gateway.identity.passwords import Passwords
from services.gateway.settings import Settings
from shared.audit_chain.stream import CheckpointStream, open_stream
from shared.database import Database, open_database
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher

SCHEMAS = ("identity", "fraud", "transfer", "ledger", "audit")


@dataclass(frozen=True, kw_only=True)
class Outside:
    """All of it, open."""

    databases: Mapping[str, Database]
    # Apart: its one connection is the verifier's for good, not one of those that calls share.
    verifying: Database
    redis: Redis
    checkpoints: CheckpointStream
    passwords: Passwords
    publishing: Link
    replying: Link
    # One for requests and one for activity: trouble on one channel is not the other's.
    publisher: Publisher
    activity_publisher: Publisher


@asynccontextmanager
async def open_outside(settings: Settings) -> AsyncIterator[Outside]:
    """What these settings name. Opening it needs no server: it becomes ready when they answer."""
    async with AsyncExitStack() as stack:
        databases = {
            schema: await stack.enter_async_context(
                open_database(
                    getattr(settings, f"{schema}_url"),
                    name="remit_gateway",
                    schema=schema,
                    connections_max=settings.database_connections_max,
                    # What every call asks it is who calls; of the others lists are asked.
                    by_key=schema == "identity",
                )
            )
            for schema in SCHEMAS
        }
        verifying = await stack.enter_async_context(
            open_database(settings.identity_url, name="remit_gateway_verifier", schema="identity", connections_max=1)
        )
        redis = await stack.enter_async_context(open_redis(settings.redis_url, timeout_s=settings.redis_timeout_s))
        checkpoints = await stack.enter_async_context(open_stream(settings.checkpoint_url))
        passwords = Passwords(threads=settings.password_threads, waiting_max=settings.password_waiting_max)
        stack.callback(passwords.close)
        publishing = Link(settings.amqp_url, name="gateway publish")
        yield Outside(
            databases=databases,
            verifying=verifying,
            redis=redis,
            checkpoints=checkpoints,
            passwords=passwords,
            publishing=publishing,
            replying=Link(settings.amqp_url, name="gateway replies"),
            publisher=Publisher(publishing, timeout_s=settings.publish_timeout_s),
            activity_publisher=Publisher(publishing, timeout_s=settings.publish_timeout_s),
        )
