"""Secrets are replaced while clients work, as docs/operations.md says; nobody is told anything untrue."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from urllib.parse import urlsplit

import aiormq
import httpx
import psycopg
import pytest
import redis

from deploy.local.remit_program import run_remit
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from tests.faults.conftest import SETTINGS
from tests.support.accepted import book_is_clean
from tests.support.bank import Bank
from tests.support.steady import Load, steady
from tests.support.whole import whole_remit

_WORKERS = ("audit", "ledger", "transfer", "fraud")
_PAYERS = 3
_PROGRAM_TIMEOUT_S = 120

Settings = Mapping[str, str]


class Deployment:
    """A stack, and the settings of each service as they are now."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.settings = {service: stack.service_settings(service) for service in SERVICES}

    def change(self, services: Iterable[str], changes: Settings) -> None:
        """What these services are started with from now on."""
        for service in services:
            self.settings[service] |= {name: changes[name] for name in self.settings[service] if name in changes}

    def restart(self, services: Iterable[str], load: Load | None = None) -> None:
        """One instance after the other, of the services that are named; a second one of each runs meanwhile."""
        for service in services:
            for n in (1, 2):
                self.stack.stop_service(service, n=n)
                self.stack.start_service(service, n, self.settings[service])
            if load is not None:
                load.goes_on()


def with_password(address: str, password: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=f"{parts.username}:{password}@{parts.netloc.rpartition('@')[2]}").geturl()


def renewed(settings: Settings, service: str) -> dict[str, str]:
    """The service's own addresses at PostgreSQL and RabbitMQ, with another password each."""
    kinds = {"_POSTGRES_URL": secrets.token_hex(16), "_AMQP_URL": secrets.token_hex(16)}
    return {
        name: with_password(value, password)
        for name, value in settings.items()
        for ending, password in kinds.items()
        if name.endswith(ending) and urlsplit(value).username == f"remit_{service}"
    }


def rotate_services(here: Deployment, load: Load) -> None:
    before = {name: value for settings in here.settings.values() for name, value in settings.items()}
    fresh = {name: url for s in SERVICES for name, url in renewed(here.settings[s], s).items()}
    # Whoever runs goes on with the sessions that it has.
    assert run_remit(("migrate",), {**here.stack.env, **fresh}, timeout_s=_PROGRAM_TIMEOUT_S) == 0
    load.goes_on()
    here.change(SERVICES, fresh)
    here.restart((*_WORKERS, "gateway"), load)
    for name in fresh:
        assert is_refused(before[name]), name


def is_refused(address: str) -> bool:
    """Whether nobody gets in there any more."""
    if address.startswith("amqp"):
        with pytest.raises(aiormq.exceptions.AMQPConnectionError):
            asyncio.run(aiormq.connect(address))
    else:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(address)
    return True


def rotate_redis(here: Deployment, load: Load) -> str:
    old = here.stack.env["REMIT_REDIS_URL"]
    new = with_password(old, secrets.token_hex(16))
    with closing(redis.Redis.from_url(old)) as client:
        client.acl_setuser("default", enabled=True, passwords=[f"+{urlsplit(new).password}"])
    users = ("gateway", "audit")
    here.change(users, {"REMIT_REDIS_URL": new, "REMIT_AUDIT_CHECKPOINT_URL": new})
    here.restart(users, load)
    with closing(redis.Redis.from_url(new)) as client:
        client.acl_setuser("default", enabled=True, passwords=[f"-{urlsplit(old).password}"])
        client.client_kill_filter(_type="normal", skipme=True)
    with closing(redis.Redis.from_url(old)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()
    load.goes_on()
    return new


@pytest.mark.timeout(600)
def test_every_secret_is_replaced_while_clients_work() -> None:
    """Services' passwords, Redis', then the secret of the tokens, which ends every session and nothing else."""
    with whole_remit(SETTINGS, durable=True) as stack:
        for service in SERVICES:
            stack.start_service(service, 2)
        here, env = Deployment(stack), dict(stack.env)
        urls = [stack.service_url("gateway", n) for n in (1, 2)]
        bank = Bank(urls[0], env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])
        with closing(bank):
            with steady(bank, urls, _PAYERS) as load:
                load.goes_on()
                rotate_services(here, load)
                env["REMIT_REDIS_URL"] = rotate_redis(here, load)
            with ThreadPoolExecutor(_PAYERS) as pool:
                list(pool.map(lambda payer: payer.asks_again(*payer.told), load.payers))
            for payer in load.payers:
                assert Decimal(payer.session.balance(payer.source)) == payer.balance
            here.change(("gateway",), {"REMIT_GATEWAY_JWT_SECRET": secrets.token_hex(32)})
            here.restart(("gateway",))
            for payer in load.payers:
                token = {"Authorization": f"Bearer {payer.session.token}"}
                assert httpx.get(f"{urls[1]}/api/v1/auth/me", headers=token).status_code == 401
                payer.close()
        with closing(Bank(urls[1], env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"])) as again:
            assert again.customer("After").token
        print(f"{load.completed} transfers completed; met on the way: {dict(load.met)}")
        book_is_clean(stack)
        assert run_remit(("verify", "--wait-s", "30"), env, timeout_s=_PROGRAM_TIMEOUT_S) == 0
