"""Integration tests: one service, or a part of one, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from deploy.local.stack import Stack
from shared.contracts import topology
from shared.database import Database, open_database
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
