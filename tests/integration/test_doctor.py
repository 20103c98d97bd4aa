"""`remit doctor` on a whole deployment: who is away, who hangs, who is behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from remit.doctor import Finding
from remit.doctor.secrecy import secrets_in
from shared.database import Database, open_database
from shared.messaging.dead_letters import DeadLetters, Letter
from shared.settings import Environment
from tests.support.builders import ALICE, requested
from tests.support.databases import wipe
from tests.support.doctoring import BOUND_S, execute, only_while, told, wrongs
from tests.support.services import deposit, ids, in_process
from tests.support.waiting import PATIENT, eventually
from tests.support.whole import whole_remit


@pytest.fixture(scope="module")
def deployment() -> Iterator[Stack]:
    """Servers and services of this module's own, to be stopped."""
    with whole_remit(PATIENT, durable=True) as stack:
        yield stack


def _remit(environment: Environment, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "remit", "doctor", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


async def test_of_a_deployment_in_order_nothing_is_wrong_and_no_secret_is_told(deployment: Stack) -> None:
    """Exit code 0, sentences without colours where nobody looks at a terminal, and the same as JSON."""
    env = deployment.env

    async def nothing_wrong() -> bool:
        return not await wrongs(env)

    # The broker counts its consumers every five seconds.
    await eventually(nothing_wrong, timeout_s=60)
    plain, document = _remit(env), _remit(env, "--json")
    assert (plain.returncode, document.returncode) == (0, 0), plain.stdout
    assert "0 wrong" in plain.stdout
    assert "\x1b" not in plain.stdout
    assert json.loads(document.stdout)["healthy"] is True
    for secret in secrets_in(env):
        assert secret not in plain.stdout + document.stdout + plain.stderr


async def test_a_worker_that_does_not_run_is_missed_at_its_queues(deployment: Stack) -> None:
    """Exit code 1, and the line says which worker to start."""
    env = deployment.env
    deployment.stop_service("ledger")
    try:

        async def missed() -> list[Finding]:
            # The broker counts queue by queue: at first some of them may be named alone.
            said = [finding for finding in await wrongs(env) if "nobody consumes ledger." in finding.says]
            return [finding for finding in said if "ledger.settled" in finding.says]

        [finding] = await eventually(missed, timeout_s=60)
        assert finding.do.startswith("start a worker of ledger")
        assert (await told(env, "ledger at")).says.split(": ")[0].endswith("does not answer")
        quiet = _remit(env, "--quiet")
        assert (quiet.returncode, "  ok " in quiet.stdout) == (1, False)
    finally:
        deployment.start_service("ledger")


@pytest.mark.parametrize(
    ("server", "sentence"),
    [("rabbitmq", "RabbitMQ at"), ("redis", "Redis at"), ("postgres", "PostgreSQL at")],
)
async def test_a_server_that_is_away_is_named_and_so_is_who_is_not_ready_for_it(
    deployment: Stack, server: str, sentence: str
) -> None:
    env = deployment.env
    deployment.stop_server(server)
    try:
        found = [finding.says for finding in await wrongs(env)]
        assert len([says for says in found if says.startswith(sentence)]) == 1, found
        assert any(says.startswith("the API at") and "is not ready" in says for says in found), found
    finally:
        deployment.start_servers([server])


async def test_a_server_that_hangs_is_not_waited_for(deployment: Stack) -> None:
    """All of it ends within the bound of one area, whoever is silent."""
    env = deployment.env
    for server in ("postgres", "redis", "rabbitmq"):
        deployment.signal(server, signal.SIGSTOP)
    try:
        begun_s = time.monotonic()
        found = [finding.says for finding in await wrongs(env)]
        # One area after the other they would take eighteen seconds.
        assert time.monotonic() - begun_s < BOUND_S + 5
        assert {"PostgreSQL", "Redis", "RabbitMQ"} <= {says.split()[0] for says in found}, found
    finally:
        for server in ("postgres", "redis", "rabbitmq"):
            deployment.signal(server, signal.SIGCONT)


async def test_a_role_whose_own_setting_makes_its_commits_unsafe_is_named(deployment: Stack) -> None:
    env = deployment.env
    sentence = "synchronous_commit is off for remit_transfer"
    async with only_while(env, sentence):
        execute(env["REMIT_POSTGRES_URL"], "ALTER ROLE remit_transfer SET synchronous_commit = off")
        try:
            assert "lose" not in (finding := await told(env, sentence)).do
            assert "clients were told" in finding.says
        finally:
            execute(env["REMIT_POSTGRES_URL"], "ALTER ROLE remit_transfer RESET synchronous_commit")


@pytest.fixture
async def books(servers: Stack, owner: Database) -> AsyncIterator[Environment]:
    await wipe(owner)
    yield {**servers.env, "REMIT_LEDGER_MAX_LAG_S": "0.001"}
    await wipe(owner)


async def test_whoever_is_behind_is_named(servers: Stack, books: Environment) -> None:
    """A decision that transfer has not seen, a transfer that ledger and audit have not: each is counted."""
    async with in_process(servers) as services:
        [account] = ids(await services.open_accounts(1))
        screened = await services.decide(deposit(account, 500), requested(owner_id=ALICE))
        assert "transfer lacks 2 of the newest" in (await told(books, "transfer lacks")).says
        settled = await services.settle(screened)
        found = [finding.says.split(" of the newest")[0] for finding in await wrongs(books)]
        assert {"ledger lacks 1", "audit lacks 2"} <= set(found)
        await services.tell([*screened, *settled])
    assert not [finding for finding in await wrongs(books) if " lacks " in finding.says]


async def test_a_dead_letter_waits_for_an_operator(books: Environment) -> None:
    letter = Letter(message_type="transfer.settled", reason="r", detail="d", origin="ledger.settled", item=str(uuid4()))
    async with open_database(books["REMIT_LEDGER_POSTGRES_URL"], name="tests", schema="ledger") as database:
        await DeadLetters(database).park([letter])
    finding = await told(books, "1 dead letter(s) of ledger wait for an operator")
    assert finding.do.startswith("remit dead-letters list --service ledger")
