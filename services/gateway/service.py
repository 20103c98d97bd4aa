"""The gateway's parts, wired: the one file that knows them all, and their life."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from starlette.types import ASGIApp

from services.gateway.background import repeatedly
from services.gateway.calls.accounts import AccountCommands
from services.gateway.calls.batches import Batches
from services.gateway.calls.dead_letters import DeadLetterActs
from services.gateway.calls.openings import Openings
from services.gateway.calls.outcomes import Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.refusals import Refusals
from services.gateway.calls.transfers import Transfers
from services.gateway.http.addresses import ClientAddresses
from services.gateway.http.application import application
from services.gateway.http.openapi import Call
from services.gateway.http.protocol import Protocol
from services.gateway.http.reading import Reader
from services.gateway.http.tokens import Tokens
from services.gateway.idempotency.leases import Leases
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.redis import Redis, open_redis
from services.gateway.idempotency.throttle import LoginThrottle
from services.gateway.identity.activity import Activities
from services.gateway.identity.administrator import Administrator
from services.gateway.identity.callers import Callers
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.store import IdentityStore
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.audit_log import AuditLogReads
from services.gateway.reads.dead_letters import DeadLetterReads
from services.gateway.reads.fraud_stats import FraudStatsReads
from services.gateway.reads.ledger import LedgerReads
from services.gateway.reads.lookup import TransferLookup
from services.gateway.reads.timeline import Timelines
from services.gateway.reads.transfers import TransferReads
from services.gateway.routes.accounts import AccountRoutes
from services.gateway.routes.administration import AdministrationRoutes
from services.gateway.routes.audit import AuditRoutes
from services.gateway.routes.auth import AuthRoutes
from services.gateway.routes.dead_letters import SERVICES, DeadLetterRoutes
from services.gateway.routes.deletions import DeletionRoutes
from services.gateway.routes.fraud import FraudRoutes
from services.gateway.routes.operators import OperatorRoutes
from services.gateway.routes.transfers import TransferRoutes
from services.gateway.routes.users import UserRoutes
from services.gateway.settings import Settings
from services.gateway.sweeper import Sweeper
from services.gateway.verifier import Verifier
from shared.audit_chain.stream import CheckpointStream, open_stream
from shared.audit_chain.views import LogViews
from shared.database import Database, open_database
from shared.messaging.connection import Link
from shared.messaging.publisher import Publisher
from shared.messaging.replies import ReplyQueue
from shared.observability.health import Check
from shared.runtime import serve_http

log = structlog.get_logger(__name__)

_SCHEMAS = ("identity", "fraud", "transfer", "ledger", "audit")
_BATCHERS_DRAIN_TIMEOUT_S = 5.0
_EPOCH_EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """The parts that `run_gateway` gives life."""

    app: ASGIApp
    links: Sequence[Link]
    # Work that goes on until the process stops.
    background: Mapping[str, Callable[[], Awaitable[None]]]
    # What must be empty before the links go.
    drains: Sequence[Callable[[], Awaitable[None]]]


@dataclass(frozen=True, kw_only=True)
class _Outside:
    """What the gateway stands on."""

    databases: Mapping[str, Database]
    redis: Redis
    checkpoints: CheckpointStream
    passwords: Passwords
    publishing: Link
    replying: Link
    # One for requests and one for activity: trouble on one channel is not the other's.
    publisher: Publisher
    activity_publisher: Publisher


@asynccontextmanager
async def open_gateway(settings: Settings) -> AsyncIterator[Gateway]:
    """The gateway of these settings. Opening it needs no server: it becomes ready when they answer."""
    async with AsyncExitStack() as stack:
        databases = {
            schema: await stack.enter_async_context(
                open_database(
                    getattr(settings, f"{schema}_url"),
                    name="remit_gateway",
                    schema=schema,
                    connections_max=settings.database_connections_max,
                )
            )
            for schema in _SCHEMAS
        }
        redis = await stack.enter_async_context(open_redis(settings.redis_url, timeout_s=settings.redis_timeout_s))
        checkpoints = await stack.enter_async_context(open_stream(settings.checkpoint_url))
        passwords = Passwords(threads=settings.password_threads, waiting_max=settings.password_waiting_max)
        stack.callback(passwords.close)
        publishing = Link(settings.amqp_url, name="gateway publish")
        yield _wired(
            settings,
            _Outside(
                databases=databases,
                redis=redis,
                checkpoints=checkpoints,
                passwords=passwords,
                publishing=publishing,
                replying=Link(settings.amqp_url, name="gateway replies"),
                publisher=Publisher(publishing, timeout_s=settings.publish_timeout_s),
                activity_publisher=Publisher(publishing, timeout_s=settings.publish_timeout_s),
            ),
        )


@dataclass(frozen=True, kw_only=True)
class _Parts:
    """What the routes are made of."""

    store: IdentityStore
    tokens: Tokens
    callers: Callers
    activities: Activities
    records: Records
    refusals: Refusals
    transfer_reads: TransferReads
    accounts: AccountReads
    ledger: LedgerReads
    dead_letters: DeadLetterReads
    requests: Requests
    sweeper: Sweeper
    outcomes: Outcomes


def _parts(settings: Settings, outside: _Outside) -> _Parts:
    databases = outside.databases
    store = IdentityStore(databases["identity"])
    tokens = Tokens(settings.jwt_secret.get_secret_value(), settings.jwt_ttl_s)
    activities = Activities(databases["identity"], store, outside.publishing, outside.activity_publisher)
    limit, window_s = settings.ip_rate_limit, settings.ip_rate_window_s
    records = Records(outside.redis, settings.instance, ip_rate_limit=limit, ip_rate_window_s=window_s)
    transfer_reads = TransferReads(databases["transfer"], databases["fraud"])
    accounts = AccountReads(databases["transfer"])
    requests = Requests(outside.publishing, outside.publisher)
    sweeper = Sweeper(records, requests, transfer_reads)
    return _Parts(
        store=store,
        tokens=tokens,
        callers=Callers(tokens, store, ClientAddresses(settings.trusted_proxies), activities),
        activities=activities,
        records=records,
        refusals=Refusals(outside.redis, activities, limit=limit, window_s=window_s),
        transfer_reads=transfer_reads,
        accounts=accounts,
        ledger=LedgerReads(databases["ledger"], databases["transfer"], accounts, lag_max_s=settings.ledger_max_lag_s),
        dead_letters=DeadLetterReads({service: databases[service] for service in SERVICES}),
        requests=requests,
        sweeper=sweeper,
        outcomes=Outcomes(sweeper.unawaited),
    )


def _calls(settings: Settings, outside: _Outside, parts: _Parts) -> list[Call]:
    """The whole API. Routes are tried in this order: the busiest come first."""
    reader, callers, activities = Reader(), parts.callers, parts.activities
    carrying = (
        settings.instance,
        parts.records,
        parts.requests,
        parts.outcomes,
        parts.transfer_reads,
        parts.refusals,
    )
    transfers, batches = Transfers(*carrying), Batches(*carrying)
    commands = AccountCommands(
        settings.instance, parts.requests, parts.outcomes, parts.accounts, Leases(outside.redis, settings.instance)
    )
    openings = Openings(parts.store, commands, batches, activities)
    lookup = TransferLookup(parts.transfer_reads, parts.accounts, parts.records)
    audit = outside.databases["audit"]
    timelines = Timelines(parts.transfer_reads, parts.ledger, audit)
    letter_acts = DeadLetterActs(parts.requests, parts.dead_letters, parts.store, activities)
    throttle = LoginThrottle(outside.redis)
    tables = (
        TransferRoutes(reader, callers, transfers, batches, lookup, timelines, activities),
        AuthRoutes(reader, callers, parts.store, outside.passwords, parts.tokens, throttle, activities),
        AccountRoutes(reader, callers, commands, parts.accounts, parts.ledger, activities),
        OperatorRoutes(reader, callers, transfers, batches, openings, parts.accounts),
        DeadLetterRoutes(callers, parts.dead_letters, letter_acts, activities),
        UserRoutes(reader, callers, parts.store, activities),
        DeletionRoutes(callers, commands, lookup, parts.transfer_reads, activities),
        AdministrationRoutes(callers, commands, parts.accounts, parts.ledger, activities),
        AuditRoutes(callers, AuditLogReads(audit), LogViews(audit), outside.checkpoints, activities),
        FraudRoutes(callers, FraudStatsReads(outside.databases["fraud"]), activities),
    )
    return [call for table in tables for call in table.calls()]


def _wired(settings: Settings, outside: _Outside) -> Gateway:
    parts = _parts(settings, outside)
    sweeper, records = parts.sweeper, parts.records
    replies = ReplyQueue(outside.replying, settings.instance, parts.outcomes.receive)
    administrator = Administrator(settings, parts.store, outside.passwords)
    verifier = Verifier(outside.databases["identity"], parts.accounts, parts.ledger)
    outside.publishing.on_connect(parts.activities.wake)
    outside.publishing.on_connect(sweeper.broker_connected)
    return Gateway(
        app=application(_calls(settings, outside, parts), _checks(outside, records, replies, administrator)),
        links=(outside.publishing, outside.replying),
        background={
            "replies": replies.run,
            "outbox relay": parts.activities.run,
            "sweeper": sweeper.run,
            "completions": sweeper.complete,
            "forget": sweeper.forget,
            "epoch": lambda: repeatedly("epoch", records.check_epoch, every_s=_EPOCH_EVERY_S),
            "refusals": parts.refusals.run,
            "verifier": verifier.run,
            "dead letters": parts.dead_letters.watch,
            "administrator": administrator.ensure,
        },
        drains=(
            parts.callers.drain,
            parts.requests.drain,
            records.drain,
            parts.transfer_reads.drain,
            parts.activities.drain,
        ),
    )


def _checks(
    outside: _Outside, records: Records, replies: ReplyQueue, administrator: Administrator
) -> Mapping[str, Check]:
    async def redis() -> bool:
        # A Redis that has just been wiped takes no gateway away: only the first settling is waited for.
        settled = records.epoch.is_settled or records.epoch.has_settled_once
        return settled and await outside.redis.is_alive()

    async def publishing() -> bool:
        return outside.publishing.is_up

    async def replying() -> bool:
        return replies.is_bound

    async def administrating() -> bool:
        return administrator.is_there

    databases = {f"database {schema}": outside.databases[schema].is_alive for schema in _SCHEMAS}
    return {
        **databases,
        "redis": redis,
        "broker publish": publishing,
        "broker replies": replying,
        "administrator": administrating,
    }


async def run_gateway(settings: Settings, stop: asyncio.Event) -> None:
    """Serves until `stop`: then takes no more calls, lets open ones end, and only then lets go of the servers."""
    async with open_gateway(settings) as gateway, asyncio.TaskGroup() as group:
        lasting = [group.create_task(link.run(), name="link") for link in gateway.links]
        lasting += [group.create_task(_lasting(work), name=name) for name, work in gateway.background.items()]
        try:
            await serve_http(
                gateway.app,
                host=settings.http_host,
                port=settings.http_port,
                stop=stop,
                drain_timeout_s=settings.drain_timeout_s,
                protocol=Protocol,
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
