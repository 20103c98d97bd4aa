"""A user's usage as the gateway reads it, against what fraud itself counts, in the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest

from deploy.local.stack import Stack
from services.fraud.domain import Window
from services.fraud.store import SQL as FRAUD_SQL
from services.fraud.windows import Windows
from services.gateway.reads.usage import USAGE_SQL, UsageReads
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import Kind
from shared.contracts.transfer import Status
from shared.database import Database, open_database
from tests.support.builders import requested, settled
from tests.support.databases import undone
from tests.support.services import Services, in_process


@pytest.fixture
async def services(servers: Stack) -> AsyncIterator[Services]:
    async with in_process(servers) as services:
        yield services


@pytest.fixture
async def gateway(servers: Stack) -> AsyncIterator[UsageReads]:
    """The views as the gateway's role sees them."""
    settings = servers.service_settings("gateway")
    fraud, transfer = (settings[f"REMIT_GATEWAY_READS_{name}_POSTGRES_URL"] for name in ("FRAUD", "TRANSFER"))
    async with (
        open_database(fraud, name="tests", schema="fraud") as of_fraud,
        open_database(transfer, name="tests", schema="transfer") as of_transfer,
    ):
        yield UsageReads(of_fraud, of_transfer)


async def counted_by_fraud(servers: Stack, user_id: UUID) -> tuple[Window, datetime | None, datetime | None]:
    """What a screening would find at this moment, added up anew, and the oldest of hour and day."""
    async with (
        open_database(servers.env["REMIT_FRAUD_POSTGRES_URL"], name="tests", schema="fraud") as database,
        database.transaction() as connection,
    ):
        windows = Windows(await connection.fetchval(FRAUD_SQL.now), [user_id], window_h=24)
        await windows.read(connection, FRAUD_SQL.window_usage, [])
        used = windows._used[user_id]
        return used.window, used.hour_oldest, used.day_oldest


async def _make_old(owner: Database, decided: TransferScreened, age: timedelta) -> None:
    await owner.fetch(
        "UPDATE fraud.decisions SET decided_at = clock_timestamp() - $2::interval WHERE transfer_id = $1",
        decided.instruction.transfer_id,
        age,
    )


async def test_it_is_what_fraud_counts(
    servers: Stack, services: Services, owner: Database, gateway: UsageReads
) -> None:
    """Approved ones of an hour, a day, longer ago; one blocked, one released, one in yen, one of an operator's."""
    user_id = uuid4()
    decided = await services.decide(
        *(requested(owner_id=user_id, amount_minor=100 + n) for n in range(5)),
        requested(owner_id=user_id, amount_minor=700, currency="JPY"),
        requested(owner_id=user_id, amount_minor=10**12),
        requested(owner_id=user_id, amount_minor=10**6, kind=Kind.DEPOSIT),
    )
    for place, age in ((0, timedelta(hours=25)), (1, timedelta(hours=2)), (5, timedelta(hours=23))):
        await _make_old(owner, decided[place], age)
    await services.fraud.release([settled(instruction=decided[2].instruction, status=Status.FAILED)])
    window, hour_oldest, day_oldest = await counted_by_fraud(servers, user_id)
    found = await gateway.of(user_id)
    assert (found.hour_count.used, found.day_count.used) == (window.hour_count, window.day_count) == (3, 5)
    assert {code: one.used for code, one in found.day_amount.items()} == {"JPY": "700", "USD": "3.08"}
    assert window.day_minor == {"JPY": 700, "USD": 308}
    assert hour_oldest is not None
    assert day_oldest is not None
    assert found.hour_count.oldest_leaves_at == hour_oldest + timedelta(hours=1)
    assert found.day_count.oldest_leaves_at == day_oldest + timedelta(hours=24)
    assert found.unknown.keys() == {"limits"}, "no fraud worker runs here"


async def test_the_index_that_fraud_has_for_windows_answers_them_alone(owner: Database) -> None:
    """A table of some rows is read by any index at the same cost, so that the other one is put aside."""
    async with undone(owner) as database:
        await database.fetch("DROP INDEX fraud.decisions_by_user")
        for name in ("seqscan", "bitmapscan"):
            await database.fetch(f"SET LOCAL enable_{name} = off")
        plan = "\n".join(row[0] for row in await database.fetch(f"EXPLAIN {USAGE_SQL.usage}", uuid4()))
    assert "Index Only Scan using decisions_counted" in plan, plan
    assert "(decided_at > ((clock_timestamp()) - '24:00:00'::interval))" in plan, plan
