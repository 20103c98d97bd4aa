"""PostgreSQL is lost and restored to a moment: what was answered before is there, what came after is settled once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import uuid4

import httpx
import psycopg
import pytest
import redis

from deploy.local.remit_program import run_remit
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from tests.faults.conftest import SETTINGS
from tests.support.accepted import accepted, all_completed, book_is_clean, parties_of, until
from tests.support.archived import Server, archived_server
from tests.support.bank import Bank, Session
from tests.support.whole import bank_of, whole_remit

_CHECKPOINTS = "remit:audit:checkpoints"
_PROGRAM_TIMEOUT_S = 90


@dataclass
class Told:
    """What clients were told, by key."""

    before: dict[str, httpx.Response] = field(default_factory=dict)
    after: dict[str, httpx.Response] = field(default_factory=dict)
    refused: dict[str, httpx.Response] = field(default_factory=dict)
    # Of a batch call, and of calls that nobody waited for.
    batch_key: str = ""
    pending: list[str] = field(default_factory=list)


@dataclass
class Scene:
    """A Remit on a PostgreSQL that can be restored."""

    server: Server
    stack: Stack
    bank: Bank
    alice: Session
    source: str
    to: str
    # To which it is restored, by the server's clock.
    moment: str = ""

    def pay(self, count: int) -> dict[str, httpx.Response]:
        """So many transfers of 1.00, several at once, each completed."""
        keys = [str(uuid4()) for _ in range(count)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda key: self.alice.transfer(self.source, self.to, key=key), keys))
        assert {answer.status_code for answer in answers} == {201}
        return dict(zip(keys, answers, strict=True))

    def again(self, key: str, amount: str = "1.00") -> httpx.Response:
        """The same call under the same key."""
        return self.alice.transfer(self.source, self.to, amount, key=key)

    @property
    def items(self) -> list[dict[str, str]]:
        """What the batch call asks for."""
        return [{"from_account_id": self.source, "to_account_id": self.to, "amount": "1.00", "currency": "USD"}] * 30

    def balance(self) -> Decimal:
        return Decimal(self.alice.balance(self.source))

    def lives(self) -> Told:
        """Backed up under load; a moment; and then much that the restored database will not know."""
        told = Told()
        with ThreadPoolExecutor(1) as pool:
            copying = pool.submit(self.server.back_up)
            while not copying.done():
                told.before |= self.pay(8)
            copying.result()
        told.before |= self.pay(40)
        self.moment = self.server.moment()
        # Their events stay at the broker: newer than the database will be.
        self.stack.stop_service("ledger")
        told.after = self.pay(40)
        poor = str(uuid4())
        told.refused = {poor: self.again(poor, "900000.00")}
        told.batch_key = str(uuid4())
        assert {item["status_code"] for item in self.alice.batch(self.items, key=told.batch_key).json()["items"]} == {
            201
        }
        self.stack.stop_service("fraud")
        told.pending = accepted(self.alice, self.source, self.to, 5)
        self.server.wait_until_archived()
        return told

    def is_restored(self, *, keeps_redis: bool) -> None:
        """As docs/operations.md says."""
        for name in SERVICES:
            self.stack.stop_service(name, signal.SIGKILL)
        self.server.lose()
        if keeps_redis:
            set_aside(self.stack.env["REMIT_REDIS_URL"])
        else:
            self.stack.wipe_server("redis")
        self.stack.wipe_server("rabbitmq")
        self.server.restore(self.moment)
        self.stack.start_servers()
        self.stack.migrate()
        self.remit("repair")
        self.stack.start_services()
        self.remit("repair", "--wait")

    def remit(self, *arguments: str) -> None:
        assert run_remit(arguments, self.stack.env, timeout_s=_PROGRAM_TIMEOUT_S) == 0, arguments


def set_aside(redis_url: str) -> None:
    """The checkpoints that audit told of rows which the restored log does not hold."""
    with closing(redis.Redis.from_url(redis_url)) as client:
        client.rename(_CHECKPOINTS, f"{_CHECKPOINTS}:lost")


@contextmanager
def scene() -> Iterator[Scene]:
    with archived_server() as server:
        settings = {**SETTINGS, "REMIT_POSTGRES_URL": server.url, "REMIT_AUDIT_CHECKPOINT_EVERY_S": "1"}
        with whole_remit(settings, durable=True) as stack, closing(bank_of(stack)) as bank:
            yield Scene(server, stack, bank, *parties_of(bank))


def rows(stack: Stack) -> set[str]:
    """The ids of all transfers that the database knows."""
    with psycopg.connect(stack.env["REMIT_POSTGRES_URL"]) as connection:
        return {str(row[0]) for row in connection.execute("SELECT id FROM transfer.transactions").fetchall()}


@pytest.mark.timeout(240)
def test_with_its_redis_a_restored_remit_makes_good_what_clients_were_told() -> None:
    """What was completed after the moment is completed again, nobody asking, under the same id, and once."""
    with scene() as here:
        told = here.lives()
        before = here.balance()
        here.is_restored(keeps_redis=True)
        until(lambda: {str(answer.json()["id"]) for answer in told.after.values()} <= rows(here.stack))
        until(lambda: all_completed(here.alice, told.pending))
        # Not a byte of what was answered before the moment has changed.
        for key, answer in told.before.items():
            assert here.again(key).content == answer.content
        for key, answer in told.after.items():
            again = here.again(key)
            assert (again.status_code, again.json()["id"]) == (201, answer.json()["id"])
        for key, answer in told.refused.items():
            assert here.again(key, "900000.00").content == answer.content
        # Redis keeps no requests of a batch: its key was freed, and whoever repeats it has it done.
        assert here.balance() == before + 30 - len(told.pending)
        for _ in range(2):
            answered = here.alice.batch(here.items, key=told.batch_key).json()["items"]
            assert {item["status_code"] for item in answered} == {201}
        assert here.balance() == before - len(told.pending)
        book_is_clean(here.stack)
        assert here.bank.admin.get("/admin/audit-logs/verify")["status"] == "verified"
        here.remit("audit", "verify")


@pytest.mark.timeout(240)
def test_without_its_redis_a_restored_remit_knows_nothing_after_the_moment_and_a_repeated_key_is_settled_once() -> None:
    """Who wants the time after the moment undone empties Redis, too; a client that asks again is served anew."""
    with scene() as here:
        told = here.lives()
        here.is_restored(keeps_redis=False)
        book_is_clean(here.stack)
        known = rows(here.stack)
        assert not known & {str(answer.json()["id"]) for answer in told.after.values()}
        for key, answer in told.before.items():
            assert here.again(key).content == answer.content
        before = here.balance()
        for _ in range(2):
            for key, answer in told.after.items():
                again = here.again(key)
                assert (again.status_code, again.json()["id"]) == (201, answer.json()["id"])
        assert here.balance() == before - len(told.after)
        book_is_clean(here.stack)
