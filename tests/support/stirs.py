"""The work by which a service comes to its seams: `traffic` to most of them, the others to what traffic never meets.

Each is a generator: it arms the victim and begins, yields while the victim dies and is started again, then ends what it
began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import redis

from deploy.local.errors import StackError
from deploy.local.stack import Stack
from shared.contracts import topology
from tests.support.accepted import until
from tests.support.bank import Bank, Session
from tests.support.databases import IN_LUCK_AGAIN, OUT_OF_LUCK
from tests.support.insisting import Ask, Insisting, Traffic

_PASSWORD = "correct horse battery"
# A message that each worker takes, for its dead-letter queue.
_TAKES = {
    "fraud": "transfer.requested",
    "transfer": "transfer.screened",
    "ledger": "transfer.settled",
    "audit": "transfer.settled",
}
_WORK = {
    "fraud": "fraud.requested",
    "transfer": "transfer.screened",
    "ledger": "ledger.settled",
    "audit": "audit.events",
}


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a stir works on. `start` starts a service so that it can be armed."""

    stack: Stack
    bank: Bank
    traffic: Traffic
    pool: ThreadPoolExecutor
    start: Callable[[str], None]

    def calls(self, asks: Sequence[Ask]) -> Insisting:
        """All of them, begun."""
        return Insisting(self.pool, asks)

    def done(self, work: Callable[[], None]) -> Future[None]:
        """Work in several steps, begun."""
        return self.pool.submit(work)

    def broker(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The broker's HTTP API."""
        with httpx.Client(base_url=self.stack.env["REMIT_AMQP_MANAGEMENT_URL"], timeout=10, trust_env=False) as client:
            answer = client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def put(self, queue: str, body: str) -> None:
        """Puts a body on a queue."""
        message = {
            "properties": {"delivery_mode": 2},
            "routing_key": queue,
            "payload": body,
            "payload_encoding": "string",
        }
        assert self.broker("POST", "/api/exchanges/%2F/amq.default/publish", message)["routed"]

    def purge(self, queue: str) -> None:
        """Loses what waits on a queue."""
        self.broker("DELETE", f"/api/queues/%2F/{queue}/contents")

    def try_start(self, service: str) -> None:
        """Starts a service that may die at once."""
        with suppress(StackError):
            self.start(service)


Arm = Callable[[], None]
Stir = Callable[[Scene, str, Arm], Iterator[None]]


def _traffic(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    arm()
    calls = scene.calls([*scene.traffic.money(), *scene.traffic.looks()])
    yield
    calls.end()


def _people(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """Somebody registers, mistypes the password, logs in, is made an operator; owners come in a batch."""
    arm()
    done = scene.done(lambda: _live(scene.bank))
    yield
    done.result()


def _live(bank: Bank) -> None:
    nobody, email = Session(bank.client, "none", {}), f"{uuid4().hex}@example.com"
    person = {"email": email, "password": _PASSWORD, "full_name": "Somebody"}
    # Without a key a repeated registration is told that the address is taken: by the first.
    _ask(nobody, "/auth/register", person, ends={201, 409})
    _ask(nobody, "/auth/login", {"email": email, "password": "wrong horse"}, ends={401})
    token = _ask(nobody, "/auth/login", {"email": email, "password": _PASSWORD}, ends={200}).json()["access_token"]
    session = Session(bank.client, token, {})
    user_id = Ask(who=session, method="GET", path="/auth/me").insist().json()["id"]
    _ask(session, "/auth/logout", None, ends={204, 401})
    promoted = Ask(who=bank.admin, method="PATCH", path=f"/admin/users/{user_id}", body={"role": "admin"})
    assert promoted.insist().json()["role"] == "admin"
    accounts = [{"owner_reference": uuid4().hex, "name": "Main", "currency": "USD"}]
    _ask(bank.admin, "/admin/accounts/batch", {"accounts": accounts}, ends={200}, key=str(uuid4()))


def _ask(
    who: Session, path: str, body: dict[str, Any] | None, *, ends: set[int], key: str | None = None
) -> httpx.Response:
    return Ask(who=who, method="POST", path=path, body=body, ends=frozenset(ends), key=key).insist()


def _poison(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """A message that nobody can read is parked, tried again in vain, and discarded by an operator."""
    owner = victim if victim in _WORK else "fraud"
    marker = f"poison {uuid4()}"
    arm()
    scene.put(_WORK[owner], json.dumps({"marker": marker}))
    done = scene.done(lambda: _give_up(scene.bank.admin, marker))
    yield
    done.result()


def _give_up(operator: Session, marker: str) -> None:
    found: list[str] = []

    def parked() -> bool:
        letters = Ask(who=operator, method="GET", path="/admin/dead-letters?limit=200").insist().json()["items"]
        for letter in letters:
            one = Ask(who=operator, method="GET", path=f"/admin/dead-letters/{letter['id']}").insist()
            if marker in one.text:
                found.append(letter["id"])
        return bool(found)

    until(parked)
    path = f"/admin/dead-letters/{found[0]}"
    _ask(operator, f"{path}/replay", None, ends={200, 202})

    def discarded() -> bool:
        answer = Ask(who=operator, method="DELETE", path=path, ends=frozenset({200, 202, 204})).insist()
        return bool(answer.status_code != 202)

    until(discarded)


def _dead_lettered(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """The broker gave a message up that has been carried out long ago; it is tried alone, and changes nothing."""
    with _copied(scene, _TAKES[victim]) as copies:
        scene.calls([scene.traffic.transfer("1.00")]).end()
        scene.traffic.spend(1)
        until(lambda: copies() is not None)
        body = copies()
    arm()
    scene.put(topology.dead_letter_queue(victim), str(body))
    yield


@contextmanager
def _copied(scene: Scene, message_type: str) -> Iterator[Callable[[], str | None]]:
    """A queue beside the others that gets the same; the call gives its first body, if there is one."""
    name = f"copies-{uuid4().hex}"
    exchange = topology.exchange_of(message_type)
    scene.broker("PUT", f"/api/queues/%2F/{name}", {"durable": True})
    scene.broker("POST", f"/api/bindings/%2F/e/{exchange}/q/{name}", {"routing_key": message_type})

    def first() -> str | None:
        asked = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}
        found = scene.broker("POST", f"/api/queues/%2F/{name}/get", asked)
        return str(found[0]["payload"]) if found else None

    try:
        yield first
    finally:
        scene.broker("DELETE", f"/api/queues/%2F/{name}")


def _start(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    scene.stack.stop_service(victim)
    arm()
    scene.try_start(victim)
    yield
    scene.calls(scene.traffic.money()).end()


def _operator_unknown(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """The operator of the settings is none in the table; a gateway that starts sees to it."""
    env, operator = scene.stack.env, scene.bank.admin
    email, password = env["REMIT_GATEWAY_ADMIN_EMAIL"], env["REMIT_GATEWAY_ADMIN_PASSWORD"]
    with psycopg.connect(env["REMIT_POSTGRES_URL"]) as connection:
        connection.execute("UPDATE identity.users SET is_active = false WHERE email = %s", [email])
    for _ in _start(scene, victim, arm):
        yield
        operator.token = scene.bank.login(email, password).token


def _fresh(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """Some things a service does once in its life, with its first work."""
    scene.stack.stop_service(victim)
    scene.start(victim)
    yield from _traffic(scene, victim, arm)


def _records_lost(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """Redis forgets; then somebody uses an old key for something else, which only the rows can refuse."""
    key = str(uuid4())
    scene.calls([scene.traffic.transfer("1.00", key=key)]).end()
    scene.traffic.spend(1)
    arm()
    with redis.Redis.from_url(scene.stack.env["REMIT_REDIS_URL"]) as client:
        client.flushall()
    other = scene.traffic.transfer("2.00", key=key, ends={422})
    calls = scene.calls([other, *scene.traffic.money()])
    yield
    calls.end()


def _ledger_emptied(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """What the ledger was told is lost; the reconciler of a transfer service that connects tells it again."""
    scene.stack.stop_service("ledger")
    scene.calls(scene.traffic.money()).end()
    scene.purge("ledger.settled")
    scene.start("ledger")
    yield from _start(scene, victim, arm)


def _broker_emptied(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """An accepted request is lost at the broker; once a newer one has ended, the sweeper sends it again."""
    scene.stack.stop_service("fraud")
    key = str(uuid4())
    asked = scene.traffic.transfer("1.00", key=key, headers={"Prefer": "respond-async"})
    until(lambda: asked.once().status_code == 202)
    scene.traffic.spend(1)
    scene.purge("fraud.requested")
    scene.start("fraud")
    arm()
    calls = scene.calls(scene.traffic.money())
    yield
    calls.end()
    scene.calls([asked]).end()


def _account_out_of_luck(scene: Scene, victim: str, arm: Arm) -> Iterator[None]:
    """An account whose changes go on failing, so that the transfer is given up: failed, or completed after all."""
    alice = scene.traffic.alice
    account = scene.bank.funded(alice)
    body = {"from_account_id": account, "to_account_id": scene.traffic.to, "amount": "1.00", "currency": "USD"}
    ask = Ask(who=alice, method="POST", path="/transfers", body=body, key=str(uuid4()), ends=frozenset({201, 422, 500}))
    with psycopg.connect(scene.stack.env["REMIT_POSTGRES_URL"], autocommit=True) as owner:
        owner.execute(OUT_OF_LUCK.format(account=account).encode())
        arm()
        calls = scene.calls([ask])
        yield
        owner.execute(IN_LUCK_AGAIN)
    calls.end()


STIRS: Mapping[str, Stir] = {
    "traffic": _traffic,
    "people": _people,
    "poison": _poison,
    "dead-lettered": _dead_lettered,
    "start": _start,
    "operator unknown": _operator_unknown,
    "fresh": _fresh,
    "records lost": _records_lost,
    "ledger emptied": _ledger_emptied,
    "broker emptied": _broker_emptied,
    "account out of luck": _account_out_of_luck,
}
