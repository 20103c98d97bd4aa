"""Customers who pay all the time, at whichever gateway answers, and see whether they are told the truth."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import cycle
from random import Random
from typing import Any
from uuid import uuid4

import httpx

from tests.support.accepted import until
from tests.support.bank import Bank, Session

_OPENING = "10000.00"
_PAUSE_S = 0.05
_END_WITHIN_S = 40.0
_HTTP_TIMEOUT_S = 40.0
# What a client may be told while parts are replaced; each with Retry-After.
_RETRYABLE = frozenset({"unavailable", "overloaded", "outcome_unknown"})


class Untrue(AssertionError):
    """A client was told what must never be told."""


@dataclass
class Told:
    """A call that has ended: what was asked under its key, and the answer."""

    path: str
    body: dict[str, Any]
    status: int
    content: bytes


@dataclass
class Payer:
    """One customer with one account, and what became of it."""

    session: Session
    source: str
    to: str
    urls: Sequence[str]
    told: dict[str, Told] = field(default_factory=dict)
    # How often a gateway was not there, and what was answered that is no end.
    met: Counter[str] = field(default_factory=Counter)
    completed: int = 0

    def __post_init__(self) -> None:
        self._client = httpx.Client(timeout=_HTTP_TIMEOUT_S, trust_env=False)
        self._gateways: Iterator[str] = cycle(self.urls)
        self._draw = Random(self.source)  # noqa: S311 - it chooses what to ask again

    def close(self) -> None:
        """Lets go of the connections."""
        self._client.close()

    def round(self) -> None:
        """A few calls of each end; and one that has ended is asked again."""
        for _ in range(5):
            self._pay("/transfers", self._order("1.00"), {201}, count=1)
        self._pay("/transfers", self._order("20000.00"), {422})
        self._pay("/transfers", self._order("1000000.01"), {403})
        self._pay("/transfers/batch", {"transfers": [self._order("1.00")] * 3}, {200}, count=3)
        self.asks_again(self._draw.choice(list(self.told)))
        if (read := self._call("GET", f"/accounts/{self.source}")).status_code != 200:
            raise Untrue(f"a read: {read.status_code} {read.text}")

    def asks_again(self, *keys: str) -> None:
        """The same call under the same key has the same answer, byte for byte, from whichever release."""
        for key in keys:
            first = self.told[key]
            again = self._call("POST", first.path, key=key, json=first.body)
            if (again.status_code, again.content) != (first.status, first.content):
                raise Untrue(f"{first.path}: {first.status} {first.content!r}, then {again.status_code} {again.text}")

    @property
    def singles(self) -> list[str]:
        """The keys of transfers that were asked for one by one."""
        return [key for key, told in self.told.items() if told.path == "/transfers"]

    @property
    def balance(self) -> Decimal:
        """What must be left."""
        return Decimal(_OPENING) - self.completed

    def _pay(self, path: str, body: dict[str, Any], ends: set[int], *, count: int = 0) -> None:
        key = str(uuid4())
        answer = self._call("POST", path, key=key, json=body)
        if answer.status_code not in ends or (path.endswith("batch") and answer.text.count('"status_code":201') != 3):
            raise Untrue(f"{path}: {answer.status_code} {answer.text}")
        self.told[key] = Told(path, body, answer.status_code, answer.content)
        self.completed += count

    def _call(self, method: str, path: str, *, key: str | None = None, json: Any = None) -> httpx.Response:
        """The end of a call: each try at the next gateway, under the same key."""
        headers = {"Authorization": f"Bearer {self.session.token}", **({"Idempotency-Key": key} if key else {})}
        deadline = time.monotonic() + _END_WITHIN_S
        while True:
            seen: object
            try:
                answer = self._client.request(
                    method, f"{next(self._gateways)}/api/v1{path}", headers=headers, json=json
                )
            except httpx.TransportError as error:
                seen = error
                self.met["no gateway"] += 1
            else:
                seen = f"{answer.status_code} {answer.text}"
                if not self._is_open(answer):
                    return answer
            if time.monotonic() > deadline:
                raise Untrue(f"{method} {path} has no end: {seen}")
            time.sleep(_PAUSE_S)

    def _is_open(self, answer: httpx.Response) -> bool:
        if answer.status_code == 202 or b'"status_code":202' in answer.content:
            self.met["pending"] += 1
            return True
        if answer.status_code == 409 and answer.json()["code"] == "request_in_progress":
            return True
        if answer.is_server_error:
            is_honest = "Retry-After" in answer.headers and answer.json().get("code") in _RETRYABLE
            if answer.status_code != 503 or not is_honest:
                raise Untrue(f"{answer.status_code} {answer.text}")
            self.met[answer.json()["code"]] += 1
            return True
        return False

    def _order(self, amount: str) -> dict[str, str]:
        return {"from_account_id": self.source, "to_account_id": self.to, "amount": amount, "currency": "USD"}


class Load:
    """All payers at work."""

    def __init__(self, payers: Sequence[Payer], working: Sequence[Future[None]]) -> None:
        self.payers = payers
        self._working = working

    def goes_on(self, more: int = 40) -> None:
        """Returns once so many more transfers have been completed; fails with whoever was told something untrue."""
        wanted = self.completed + more
        until(lambda: self._truly() and self.completed >= wanted)

    @property
    def completed(self) -> int:
        """Transfers that their payers know to be completed."""
        return sum(payer.completed for payer in self.payers)

    @property
    def met(self) -> Counter[str]:
        """What all of them met on their ways."""
        return sum((payer.met for payer in self.payers), Counter())

    def _truly(self) -> bool:
        for one in self._working:
            if one.done():
                one.result()
        return True


@contextmanager
def steady(bank: Bank, urls: Sequence[str], count: int) -> Iterator[Load]:
    """So many payers at work while the block runs; at its end each has ended its last call."""
    payers = []
    for n in range(count):
        session = bank.customer(f"Payer {n}")
        source, to = bank.funded(session, _OPENING), bank.customer(f"Payee {n}").open_account()
        payers.append(Payer(session, source, to, urls))
    stop = threading.Event()

    def work(payer: Payer) -> None:
        while not stop.is_set():
            payer.round()

    with ThreadPoolExecutor(count, thread_name_prefix="paying") as pool:
        working = [pool.submit(work, payer) for payer in payers]
        try:
            yield Load(payers, working)
        finally:
            stop.set()
        for one in working:
            one.result()
