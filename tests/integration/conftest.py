"""Integration tests: one service, or a part of one, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest

from deploy.local.stack import Stack
from deploy.local.testing import temporary_stack
from shared.contracts import topology
from shared.database import Database, open_database
from tests.support.bank import Bank
from tests.support.broker import BrokerProbe, broker_probe


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


@dataclass(frozen=True)
class Whole:
    """A Remit of its own with all its services: met over HTTP, and looked at behind it."""

    stack: Stack
    bank: Bank
    owner: Database


@pytest.fixture(scope="session")
def whole_stack() -> Iterator[Stack]:
    """All servers and services, beside those on which tests run single services."""
    with temporary_stack(settings={"REMIT_GATEWAY_IP_RATE_LIMIT": "off"}) as stack:
        stack.start_servers()
        stack.migrate()
        stack.start_services()
        yield stack


@pytest.fixture(scope="session")
async def whole(whole_stack: Stack) -> AsyncIterator[Whole]:
    env = whole_stack.env
    bank = Bank(env["REMIT_API_URL"], env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    async with open_database(env["REMIT_POSTGRES_URL"], name="tests") as owner:
        yield Whole(whole_stack, bank, owner)
    bank.close()
