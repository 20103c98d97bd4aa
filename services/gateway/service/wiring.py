"""What the gateway is made of: every part, and what it is given. The one file that knows them all."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from services.gateway.calls.accounts import AccountCommands
from services.gateway.calls.batches import Batches
from services.gateway.calls.dead_letters import DeadLetterActs
from services.gateway.calls.openings import Openings
from services.gateway.calls.outcomes import Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.refusals import Refusals
from services.gateway.calls.transfers import Transfers
from services.gateway.domain.problems import Bounds
from services.gateway.http.addresses import ClientAddresses
from services.gateway.http.openapi import Call
from services.gateway.http.reading import Reader
from services.gateway.http.tokens import Tokens
from services.gateway.idempotency.leases import Leases
from services.gateway.idempotency.records import Records
from services.gateway.idempotency.throttle import LoginThrottle
from services.gateway.identity.activity import Activities
from services.gateway.identity.callers import Callers
from services.gateway.identity.logins import Logins
from services.gateway.identity.store import IdentityStore
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.audit_log import AuditLogReads
from services.gateway.reads.audit_walk import AuditWalks
from services.gateway.reads.dead_letters import DeadLetterReads
from services.gateway.reads.fraud_stats import FraudStatsReads
from services.gateway.reads.ledger import LedgerReads
from services.gateway.reads.lookup import TransferLookup
from services.gateway.reads.pipeline import PipelineReads
from services.gateway.reads.timeline import Timelines
from services.gateway.reads.transfer_search import TransferSearch
from services.gateway.reads.transfers import TransferReads
from services.gateway.reads.trial_balance import TrialBalances
from services.gateway.reads.usage import UsageReads
from services.gateway.reads.whole_timeline import WholeTimelines
from services.gateway.routes.accounts import AccountRoutes
from services.gateway.routes.administration import AdministrationRoutes
from services.gateway.routes.audit import AuditRoutes
from services.gateway.routes.auth import AuthRoutes
from services.gateway.routes.dead_letters import SERVICES, DeadLetterRoutes
from services.gateway.routes.deletions import DeletionRoutes
from services.gateway.routes.finding import FindingRoutes
from services.gateway.routes.fraud import FraudRoutes
from services.gateway.routes.operators import OperatorRoutes
from services.gateway.routes.pipeline import PipelineRoutes
from services.gateway.routes.searching import SearchRoutes
from services.gateway.routes.sessions import SessionRoutes
from services.gateway.routes.transfers import TransferRoutes
from services.gateway.routes.users import UserRoutes
from services.gateway.routes.verification import VerificationRoutes
from services.gateway.service.outside import Outside
from services.gateway.settings import Settings
from services.gateway.sweeper import Sweeper
from shared.audit_chain.views import LogViews


@dataclass(frozen=True, kw_only=True)
class Parts:
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
    pipeline: PipelineReads
    trial_balances: TrialBalances
    requests: Requests
    sweeper: Sweeper
    outcomes: Outcomes


def parts_of(settings: Settings, outside: Outside) -> Parts:
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
    return Parts(
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
        pipeline=PipelineReads(databases, outside.redis, asking=outside.replying, publishing=outside.publishing),
        trial_balances=TrialBalances(databases["ledger"]),
        requests=requests,
        sweeper=sweeper,
        outcomes=Outcomes(sweeper.unawaited),
    )


def calls_of(settings: Settings, outside: Outside, parts: Parts, stop: asyncio.Event) -> list[Call]:
    """The whole API as a table. Routes are tried in this order: the busiest come first."""
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
    searching = TransferSearch(outside.databases["transfer"], parts.transfer_reads, parts.records)
    usage = UsageReads(outside.databases["fraud"], outside.databases["transfer"])
    audit = outside.databases["audit"]
    timelines = Timelines(parts.transfer_reads, parts.ledger, audit)
    letter_acts = DeadLetterActs(parts.requests, parts.dead_letters, parts.store, activities)
    logins = Logins(callers, parts.store, outside.passwords, LoginThrottle(outside.redis), activities)
    late = Bounds(lag_max_s=settings.ledger_max_lag_s)
    logs = AuditLogReads(audit)
    whole = WholeTimelines(outside.databases, logs, parts.dead_letters, parts.pipeline, late)
    tables = (
        TransferRoutes(reader, callers, transfers, batches, lookup, timelines, activities),
        AuthRoutes(reader, callers, parts.store, outside.passwords, parts.tokens, logins, activities),
        SessionRoutes(reader, callers, parts.store, parts.tokens, logins, activities),
        AccountRoutes(reader, callers, commands, parts.accounts, parts.ledger, activities),
        OperatorRoutes(reader, callers, transfers, batches, openings, parts.accounts),
        DeadLetterRoutes(callers, parts.dead_letters, letter_acts, activities),
        UserRoutes(reader, callers, parts.store, usage, activities),
        DeletionRoutes(callers, commands, lookup, parts.transfer_reads, activities),
        FindingRoutes(callers, parts.accounts, parts.store, activities),
        SearchRoutes(callers, searching, whole, activities),
        AdministrationRoutes(callers, commands, parts.trial_balances, activities),
        VerificationRoutes(callers, parts.ledger, activities, stop),
        AuditRoutes(callers, logs, AuditWalks(LogViews(audit), outside.checkpoints), activities, stop),
        FraudRoutes(callers, FraudStatsReads(outside.databases["fraud"]), activities),
        PipelineRoutes(callers, parts.pipeline, late, activities, stop),
    )
    return [call for table in tables for call in table.calls()]
