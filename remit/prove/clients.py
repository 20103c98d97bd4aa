"""Clients: each works through its intents over HTTP, one after the other, and tells the history what it hears."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx
import msgspec

from remit.prove.history import ENDED, Fate, History, Told, Tracked, fate_of
from remit.prove.workload import UNKNOWN_ACCOUNT, Client, Intent, Item, Kind
from services.gateway.domain import ids
from shared.money import to_text

CURRENCY = "USD"
# Above what the API may take to answer.
READ_TIMEOUT_S = 8.0
_CONNECT_TIMEOUT_S = 2.0
_PAUSE_S = 0.01
_PAUSE_IN_TROUBLE_S = 0.25
_POLL_EVERY_S = 0.1
# How long a client asks for the status of what it did not wait for, before it leaves it to the end.
_POLLS_MAX = 100

# Nothing of the request can have left when one of these is raised.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

_PATHS = {
    Kind.TRANSFER: ("/api/v1/transfers", ids.TRANSFERS),
    Kind.BATCH: ("/api/v1/transfers/batch", ids.TRANSFERS_BATCH),
    Kind.DEPOSIT: ("/api/v1/admin/deposits", ids.DEPOSITS),
    Kind.WITHDRAWAL: ("/api/v1/admin/withdrawals", ids.WITHDRAWALS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who calls."""

    user_id: UUID
    token: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bank:
    """Who there is and what they own; places are those of the workload's population."""

    operator: Person
    customers: Sequence[Person]
    accounts: Sequence[UUID]
    # Somebody whose transfers, from the first account to the second, show that things work again.
    prober: Person
    probed: tuple[UUID, UUID]

    def person(self, intent: Intent) -> Person:
        """Who asks for this."""
        return self.operator if intent.customer is None else self.customers[intent.customer]

    def account(self, place: int | None) -> UUID:
        """The account at a place; the unknown one at None."""
        return UNKNOWN_ACCOUNT if place is None else self.accounts[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One answer, or the lack of one (`status` None)."""

    status: int | None
    body: bytes = b""
    was_sent: bool = True

    def json(self) -> dict[str, Any]:
        """The body, where it is an object; empty otherwise."""
        try:
            found = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return found if isinstance(found, dict) else {}


class Caller:
    """Makes the calls of intents, and reads the answers."""

    def __init__(self, gateways: Sequence[httpx.AsyncClient], bank: Bank, history: History) -> None:
        self._gateways = gateways
        self._bank = bank
        self._history = history
        self._turn = 0

    def begin(self, intent: Intent) -> None:
        """Puts what is about to be asked for on record."""
        transfer_ids = self.transfer_ids(intent)
        self._history.calls[intent.key] = Told(intent=intent, transfer_ids=transfer_ids)
        now_s = time.monotonic()
        for transfer_id, item in zip(transfer_ids, intent.items, strict=True):
            self._history.items[transfer_id] = Tracked(
                transfer_id=transfer_id, item=item, is_withdrawal=intent.kind is Kind.WITHDRAWAL, asked_s=now_s
            )

    def transfer_ids(self, intent: Intent) -> tuple[UUID, ...]:
        """The ids that the gateway derives from caller, operation and key."""
        caller_id, operation = self._bank.person(intent).user_id, _PATHS[intent.kind][1]
        if intent.kind is not Kind.BATCH:
            return (ids.transfer_id(caller_id, operation, intent.key),)
        return tuple(ids.transfer_id(caller_id, operation, intent.key, n) for n in range(len(intent.items)))

    async def ask(self, intent: Intent) -> None:
        """Asks once, and learns from the answer."""
        preference = {"Prefer": "respond-async"} if intent.polls else {}
        heard = await self._post(intent, preference)
        transfer_ids = self._history.calls[intent.key].transfer_ids
        now_s = time.monotonic()
        for transfer_id, (fate, status) in zip(transfer_ids, _fates(intent, heard), strict=True):
            self._history.learn(transfer_id, fate, status, now_s)
        if self._history.ended(intent.key) and _tells_all(intent, heard):
            self._history.heard(intent.key, sha256(heard.body).digest())

    async def ask_otherwise(self, intent: Intent) -> None:
        """Asks for something else under the same key: it must be refused, and change nothing."""
        first = replace(intent.items[0], amount_minor=intent.items[0].amount_minor + 1)
        heard = await self._post(replace(intent, items=(first, *intent.items[1:])), {})
        self._history.conflicts += 1
        if heard.status in {None, 401, 409, 503} or (heard.status or 0) >= 500:
            return
        if heard.status != 422 or heard.json().get("code") != "idempotency_key_reused":
            self._history.breaches.append(f"{intent.key}: another payload was answered {heard.status}")

    async def poll(self, intent: Intent) -> None:
        """Asks for the status of what was accepted, until it has ended."""
        (transfer_id,) = self._history.calls[intent.key].transfer_ids
        tracked = self._history.items[transfer_id]
        for _ in range(_POLLS_MAX):
            if tracked.fate in ENDED or not tracked.accepted:
                return
            await asyncio.sleep(_POLL_EVERY_S)
            heard = await self._send("GET", f"/api/v1/transfers/{transfer_id}", self._bank.person(intent))
            self._history.polls += 1
            self._learn_status(transfer_id, heard)

    def _learn_status(self, transfer_id: UUID, heard: Heard) -> None:
        if heard.status == 404:
            self._history.breaches.append(f"{transfer_id}: was accepted, and is not found")
        if heard.status != 200:
            return
        status = heard.json().get("status")
        fate = {"completed": Fate.COMPLETED, "pending": Fate.OPEN}.get(str(status), Fate.REFUSED)
        self._history.learn(transfer_id, fate, 200, time.monotonic())

    async def _post(self, intent: Intent, headers: dict[str, str]) -> Heard:
        keyed = {"Idempotency-Key": intent.key, **headers}
        body = msgspec.json.encode(self._body(intent))
        return await self._send("POST", _PATHS[intent.kind][0], self._bank.person(intent), body, keyed)

    async def _send(
        self, method: str, path: str, person: Person, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Heard:
        self._turn += 1
        gateway = self._gateways[self._turn % len(self._gateways)]
        sent = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json", **(headers or {})}
        try:
            answer = await gateway.request(method, path, content=body, headers=sent)
        except httpx.TransportError as error:
            self._history.answers[type(error).__name__] += 1
            return Heard(status=None, was_sent=not isinstance(error, _NEVER_SENT))
        self._history.answers[str(answer.status_code)] += 1
        return Heard(status=answer.status_code, body=answer.content)

    def _body(self, intent: Intent) -> dict[str, Any]:
        if intent.kind is Kind.BATCH:
            return {"transfers": [self._transfer(item) for item in intent.items]}
        (item,) = intent.items
        if intent.kind is Kind.TRANSFER:
            return self._transfer(item)
        place = item.to if intent.kind is Kind.DEPOSIT else item.source
        return {"account_id": str(self._bank.account(place)), **_money(item)}

    def _transfer(self, item: Item) -> dict[str, Any]:
        source, to = self._bank.account(item.source), self._bank.account(item.to)
        return {"from_account_id": str(source), "to_account_id": str(to), **_money(item)}


def _money(item: Item) -> dict[str, str]:
    return {"amount": to_text(item.amount_minor, CURRENCY), "currency": CURRENCY}


def _fates(intent: Intent, heard: Heard) -> list[tuple[Fate, int | None]]:
    """What an answer says of each of an intent's transfers."""
    if heard.status is None:
        return [(Fate.OPEN if heard.was_sent else Fate.NOT_BEGUN, None)] * len(intent.items)
    body = heard.json()
    if intent.kind is Kind.BATCH and heard.status == 200:
        return [_item_fate(item) for item in body["items"]]
    fate = fate_of(heard.status, str(body.get("code", "")), has_transfer="transfer_id" in body)
    return [(fate, heard.status)] * len(intent.items)


def _item_fate(item: dict[str, Any]) -> tuple[Fate, int]:
    problem = item.get("problem") or {}
    status = int(item["status_code"])
    return fate_of(status, str(problem.get("code", "")), has_transfer="transfer_id" in problem), status


def _tells_all(intent: Intent, heard: Heard) -> bool:
    """Whether this answer itself, not an earlier one, tells the end of everything under the key."""
    return all(fate in ENDED for fate, _ in _fates(intent, heard))


class Worker:
    """One client at work."""

    def __init__(self, client: Client, caller: Caller, history: History, stop: asyncio.Event) -> None:
        self._client = client
        self._caller = caller
        self._history = history
        self._stop = stop

    async def run(self) -> None:
        """Works until told to stop; the call that is open then is finished."""
        for intent in self._client.intents():
            if self._stop.is_set():
                return
            await self._carry(intent)
            await asyncio.sleep(_PAUSE_S)

    async def _carry(self, intent: Intent) -> None:
        self._caller.begin(intent)
        for _ in range(intent.tries):
            await self._caller.ask(intent)
            if intent.polls:
                await self._caller.poll(intent)
            if self._history.ended(intent.key) or self._stop.is_set():
                break
            await asyncio.sleep(_PAUSE_IN_TROUBLE_S)
        if not self._history.ended(intent.key):
            return
        if intent.repeats:
            self._history.repeats += 1
            await self._caller.ask(intent)
        if intent.alters:
            await self._caller.ask_otherwise(intent)


async def resolve(caller: Caller, history: History, *, within_s: float, together: int) -> float:
    """Asks again, `together` at a time, for everything that is not known to have ended; the seconds that it took.

    What was refused before it was begun stays so. It ends as soon as all is known, or after `within_s`.
    """
    begun_s = time.monotonic()
    queue = [told.intent for key, told in history.calls.items() if history.may_be_open(key)]
    limit = asyncio.Semaphore(together)

    async def one(intent: Intent) -> None:
        async with limit:
            while history.may_be_open(intent.key) and time.monotonic() - begun_s < within_s:
                await caller.ask(intent)
                if history.may_be_open(intent.key):
                    await asyncio.sleep(_PAUSE_IN_TROUBLE_S)

    await asyncio.gather(*(one(intent) for intent in queue))
    return time.monotonic() - begun_s


async def repeat(
    caller: Caller, history: History, intents: Sequence[Intent], *, together: int, altered_max: int = 0
) -> None:
    """Asks once more for what has ended, so that the bytes can be compared, and for the first `altered_max` of it
    otherwise: whatever was wiped meanwhile, a used key is refused to another payload."""
    limit = asyncio.Semaphore(together)

    async def one(place: int, intent: Intent) -> None:
        async with limit:
            history.repeats += 1
            await caller.ask(intent)
            if place < altered_max:
                await caller.ask_otherwise(intent)

    await asyncio.gather(*(one(place, intent) for place, intent in enumerate(intents)))


def client_of(url: str) -> httpx.AsyncClient:
    """An HTTP client of one gateway, with the time-outs of the campaign."""
    timeout = httpx.Timeout(READ_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S)
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=100)
    return httpx.AsyncClient(base_url=url, timeout=timeout, limits=limits, trust_env=False)
