"""Integration tests: one service, or a part of one, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from deploy.local.stack import Stack
from shared.contracts import topology
from shared.database import Database, open_database, pool
from tests.support.bank import Bank
from tests.support.broker import BrokerProbe, broker_probe
from tests.support.collector import Collector, collecting
from tests.support.whole import SETTINGS, bank_of, whole_remit


@pytest.fixture
async def broker(servers: Stack) -> AsyncIterator[BrokerProbe]:
    """The broker, its work queues empty."""
    async with broker_probe(servers.env["REMIT_AMQP_URL"]) as probe:
        for queue in topology.QUEUES:
            await probe.purge(queue.name)
        yield probe


@pytest.fixture(scope="session")
async def owner(servers: Stack) -> AsyncIterator[Database]:
    """The database as its owner, who may look everywhere."""
    async with open_database(servers.env["REMIT_POSTGRES_URL"], name="tests", connections_max=10) as database:
        yield database


@pytest.fixture
async def audit_views(servers: Stack) -> AsyncIterator[Database]:
    """The audit log as the gateway's role sees it."""
    url = servers.service_settings("gateway")["REMIT_GATEWAY_READS_AUDIT_POSTGRES_URL"]
    async with open_database(url, name="tests", schema="audit") as database:
        yield database


@dataclass(frozen=True)
class Whole:
    """A Remit of its own with all its services: met over HTTP, and looked at behind it."""

    stack: Stack
    bank: Bank
    owner: Database
    collector: Collector


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    """Who the whole stack sends its traces to."""
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="session")
def whole_stack(collector: Collector) -> Iterator[Stack]:
    """All servers and services, beside those on which tests run single services; traced is who asks for it."""
    traces = {"REMIT_TRACES_ENDPOINT": collector.url, "REMIT_TRACES_SAMPLE": "0"}
    with whole_remit({**SETTINGS, "REMIT_GATEWAY_VERIFY_EVERY_S": "0.2", **traces}) as stack:
        yield stack


@pytest.fixture(scope="session")
async def whole(whole_stack: Stack, collector: Collector) -> AsyncIterator[Whole]:
    with closing(bank_of(whole_stack)) as bank:
        async with open_database(whole_stack.env["REMIT_POSTGRES_URL"], name="tests") as owner:
            yield Whole(whole_stack, bank, owner, collector)


@pytest.fixture
def short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions that are opened from now on wait a third of a second for a lock, not two seconds."""
    monkeypatch.setitem(pool._SESSION_SETTINGS, "lock_timeout", "300ms")
