"""Services are scaled up, restarted, killed and scaled down while clients use them; nobody is told an error for it.

The tests go on from one another, in this order: one deployment, one load, one book.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.containers.deployment import ROOT, SCALED, SERVICES, SINGLE, Deployment, output_of
from tests.containers.load import Load
from tests.support.bank import Bank
from tests.support.waiting import eventually
from tests.support.whole import TOKEN_LIFE_S

pytestmark = pytest.mark.timeout(240)

# One machine sends what a thousand would, a few customers pay what many would, and they log in once.
_OPEN = {
    "REMIT_GATEWAY_IP_RATE_LIMIT": "off",
    "REMIT_GATEWAY_JWT_TTL_S": str(TOKEN_LIFE_S),
    "REMIT_FRAUD_MAX_HOURLY_COUNT": "off",
    "REMIT_FRAUD_MAX_DAILY_COUNT": "off",
}
_WITHOUT_USER_LIMITS = {
    "REMIT_FRAUD_MIN_AMOUNT": "off",
    "REMIT_FRAUD_MAX_AMOUNT": "off",
    "REMIT_FRAUD_MAX_DAILY_AMOUNT": "off",
}
# A folder with a published simulation, if there is one: nodes.csv, transactions.csv. Its figures in `amlsim.json`.
_SIMULATION_TIMEOUT_S = 1_800
_SIMULATION = os.environ.get("AMLSIM_DIR")
# Above the proxy's own patience (45 s), so that whatever ends a call, it is not this client.
_PATIENCE_S = 50.0
_WORKERS = tuple(service for service in SERVICES if service != "gateway")
# The queue of each one's work.
_QUEUES = {
    "fraud": "fraud.requested", "transfer": "transfer.screened", "ledger": "ledger.settled", "audit": "audit.events"
}  # fmt: skip


@pytest.fixture(scope="module")
async def load(deployment: Deployment) -> AsyncIterator[Load]:
    """Customers of a deployment whose limits leave room for a load."""
    await deployment.up(**_OPEN, **(_WITHOUT_USER_LIMITS if _SIMULATION else {}))
    secrets = deployment.secrets
    bank = Bank(deployment.url, secrets["REMIT_GATEWAY_ADMIN_EMAIL"], secrets["REMIT_GATEWAY_ADMIN_PASSWORD"])
    async with httpx.AsyncClient(base_url=deployment.url, timeout=_PATIENCE_S, trust_env=False) as http:
        yield Load(bank, http)
    bank.close()


async def _replayed(deployment: Deployment, accounts: Path, transfers: Path, expected: Path, *more: str) -> str:
    """What `remit replay` says, from this machine through the proxy; Refused where a figure differs."""
    secrets = deployment.secrets
    env = {
        "REMIT_API_URL": deployment.url,
        "REMIT_GATEWAY_ADMIN_EMAIL": secrets["REMIT_GATEWAY_ADMIN_EMAIL"],
        "REMIT_GATEWAY_ADMIN_PASSWORD": secrets["REMIT_GATEWAY_ADMIN_PASSWORD"],
    }
    files = ("--accounts", str(accounts), "--transfers", str(transfers), "--expect", str(expected))
    return await output_of(
        sys.executable, "-m", "remit", "replay", *files, "--from-start", *more, env=env, timeout_s=_SIMULATION_TIMEOUT_S
    )


def _fresh(file: Path, folder: Path) -> Path:
    """A copy whose ids nobody has used: they derive from a file's bytes, so a column that means nothing is added."""
    header, *rows = file.read_text(encoding="utf-8").splitlines()
    copy, run = folder / file.name, uuid4().hex
    copy.write_text("\n".join([f"{header},run", *(f"{row},{run}" for row in rows)]) + "\n", encoding="utf-8")
    return copy


async def _carried(deployment: Deployment, service: str) -> float:
    """What the containers of a service have taken since they started, all together."""
    containers = await deployment.containers(service)
    return sum([(await deployment.metrics(one)).sum("remit_consumed_items_total") for one in containers])


async def _consumers(deployment: Deployment) -> dict[str, float]:
    """How many of each worker the broker would give messages to, by a gateway's own look every five seconds."""
    seen = await deployment.metrics((await deployment.containers("gateway"))[0])
    return {service: seen.sum("remit_queue_consumers", queue=queue) for service, queue in _QUEUES.items()}


async def test_scaled_up_under_load_every_instance_stands_ready_and_a_replay_stays_exact(
    deployment: Deployment, load: Load, tmp_path: Path
) -> None:
    """Three transfer workers, two of all others: the sample comes out to the cent, sent while they come."""
    sample = ROOT / "samples"
    accounts, transfers = (_fresh(sample / name, tmp_path) for name in ("accounts.csv", "transfers.csv"))
    async with load.working() as heard:
        replay = asyncio.create_task(_replayed(deployment, accounts, transfers, sample / "expected.json"))
        await deployment.scale(SCALED)
        print(await replay)
        assert {service: len(await deployment.containers(service)) for service in SERVICES} == SCALED
        # Of each kind one carries what it can, and the next one the rest; killed below, each in turn, they take over.
        assert all([await _carried(deployment, service) for service in _WORKERS])

        async def stand_ready() -> bool:
            return await _consumers(deployment) == {service: SCALED[service] for service in _WORKERS}

        await eventually(stand_ready)
    assert heard.errors == {}
    await load.judge()


# Not a skipped test without it: it is no part of the campaign, and under CI a skipped test is a failed one.
if _SIMULATION:

    @pytest.mark.timeout(_SIMULATION_TIMEOUT_S)
    async def test_a_published_simulation_comes_out_exact_on_the_scaled_deployment(deployment: Deployment) -> None:
        """In order, over many batches, whichever of the workers has them."""
        accounts, transfers = (Path(str(_SIMULATION)) / name for name in ("nodes.csv", "transactions.csv"))
        expected = Path(__file__).with_name("amlsim.json")
        print(await _replayed(deployment, accounts, transfers, expected, "--map", "amlsim"))
        await deployment.verify()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_rolling_restart_is_not_seen_by_a_client_that_retries_503(
    deployment: Deployment, load: Load, service: str
) -> None:
    """One container after the other is stopped, started, and ready before the next."""
    async with load.working() as heard:
        for container in await deployment.containers(service):
            await deployment.restart(container)
    assert heard.errors == {}
    await load.judge()


async def test_killed_workers_come_back_and_lose_nothing(deployment: Deployment, load: Load) -> None:
    """SIGKILL to one process of each worker after the other, so to that which carries, too: Docker starts it again."""
    async with load.working() as heard:
        for service in _WORKERS:
            for container in await deployment.containers(service):
                await deployment.kill(container)
    assert heard.errors == {}
    await load.judge()


async def test_a_killed_gateway_comes_back_and_loses_nothing(deployment: Deployment, load: Load) -> None:
    """Calls that it had in hand may break off; the same key tells their outcome."""
    async with load.working() as heard:
        await deployment.kill((await deployment.containers("gateway"))[0])
    assert set(heard.errors) <= {"RemoteProtocolError", "ReadError"}
    await load.judge()


async def test_scaled_down_under_load_nothing_is_lost_and_the_book_verifies(deployment: Deployment, load: Load) -> None:
    """Back to one of each: what the leaving ones had in hand is finished, by them or by who stays."""
    async with load.working() as heard:
        await deployment.scale(SINGLE)
        assert {service: len(await deployment.containers(service)) for service in SERVICES} == SINGLE
    assert heard.errors == {}
    await load.judge()
    await deployment.verify()
