"""Clients who insist: the same call under the same key until its end is known, whatever dies meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from uuid import uuid4

import httpx

from tests.support.bank import Bank, Session

_WITHIN_S = 45.0
_PAUSE_S = 0.05
# Less than what the refused ones ask for, and than what a transfer may be at most.
OPENING = "900000.00"
_TOGETHER = 8
# Not an end: pending, held by another call, nobody can tell now.
_NOT_YET = {202, 409, 502, 503, 504}


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One call; `ends` are the statuses that it may end with. One without a key may have been done twice."""

    who: Session
    method: str
    path: str
    body: dict[str, Any] | None = None
    key: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    ends: frozenset[int] = frozenset({200, 201})

    def once(self) -> httpx.Response:
        """One try."""
        return self.who.call(self.method, self.path, key=self.key, json=self.body, headers=dict(self.headers))

    def insist(self) -> httpx.Response:
        """The answer that tells the end."""
        deadline = time.monotonic() + _WITHIN_S
        while True:
            seen: object
            try:
                answer = seen = self.once()
            except httpx.TransportError as error:
                seen = error
            else:
                if answer.status_code in self.ends and not _is_open(answer):
                    return answer
                assert answer.status_code in _NOT_YET | {200}, (self.path, answer.status_code, answer.text)
            assert time.monotonic() < deadline, f"{self.path} has no end: {seen}"
            time.sleep(_PAUSE_S)


def _is_open(answer: httpx.Response) -> bool:
    """A batch of which a part is pending still."""
    return answer.status_code == 200 and b'"status_code":202' in answer.content


def _is_of_another(answer: httpx.Response) -> bool:
    """The key covers another payload: no outcome of this one, so nothing that is stored."""
    return answer.status_code == 422 and answer.json()["code"] == "idempotency_key_reused"


class Traffic:
    """A few calls of every kind that moves money, from one account to another, and what they must come to."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.alice, bob = bank.customer("Alice"), bank.customer("Bob")
        self.source, self.to = bank.funded(self.alice, OPENING), bob.open_account()
        self._spent = Decimal(0)

    def money(self) -> list[Ask]:
        """Completed, refused and blocked ones; alone, in a batch, by the operator. 4.00 leave the account."""
        self._spent += 4
        return [
            self.transfer("1.00"),
            self.transfer("1.00", headers={"Prefer": "respond-async"}),
            self.transfer("950000.00", ends={422}),
            self.transfer("1000000.01", ends={403}),
            self._batch("1.00", "950000.00", "1.00"),
            self._operators("deposits", "2.00"),
            self._operators("withdrawals", "2.00"),
            Ask(who=self.alice, method="POST", path="/accounts", key=_key(), body={"name": "Other", "currency": "USD"}),
        ]

    def transfer(self, amount: str, *, ends: Sequence[int] | set[int] = (201,), **more: Any) -> Ask:
        """One transfer of Alice's."""
        return Ask(
            who=self.alice,
            method="POST",
            path="/transfers",
            body=self._order(amount),
            key=more.pop("key", None) or _key(),
            ends=frozenset(ends),
            **more,
        )

    def looks(self) -> list[Ask]:
        """Reads: of what is pending, of one that nobody knows."""
        return [
            Ask(who=self.alice, method="GET", path="/transfers?status=pending"),
            Ask(who=self.alice, method="GET", path=f"/transfers/{uuid4()}", ends=frozenset({404})),
            Ask(who=self.alice, method="GET", path=f"/accounts/{self.source}"),
        ]

    def balance_is_right(self) -> bool:
        """Whether the account is short of exactly what was spent."""
        return Decimal(self.alice.balance(self.source)) == Decimal(OPENING) - self._spent

    def spend(self, amount: int) -> None:
        """So much is to leave the account by transfers of the test's own, in major units."""
        self._spent += amount

    def _order(self, amount: str) -> dict[str, str]:
        return {"from_account_id": self.source, "to_account_id": self.to, "amount": amount, "currency": "USD"}

    def _batch(self, *amounts: str) -> Ask:
        body = {"transfers": [self._order(amount) for amount in amounts]}
        return Ask(who=self.alice, method="POST", path="/transfers/batch", body=body, key=_key())

    def _operators(self, what: str, amount: str) -> Ask:
        body = {"account_id": self.source, "amount": amount, "currency": "USD"}
        return Ask(who=self._bank.admin, method="POST", path=f"/admin/{what}", body=body, key=_key())


def _key() -> str:
    return str(uuid4())


class Insisting:
    """Calls under way, all at the same time."""

    def __init__(self, pool: ThreadPoolExecutor, asks: Sequence[Ask]) -> None:
        self._asked: list[tuple[Ask, Future[httpx.Response]]] = [(ask, pool.submit(ask.insist)) for ask in asks]

    def end(self) -> None:
        """Waits for all of them; then each outcome under a key is told once more with the same bytes."""
        ended = [(ask, future.result()) for ask, future in self._asked]
        for ask, first in ended:
            if ask.key is not None and not _is_of_another(first):
                again = ask.insist()
                assert (again.status_code, again.content) == (first.status_code, first.content), ask.path


def pool() -> ThreadPoolExecutor:
    """Enough threads for all calls of one traffic."""
    return ThreadPoolExecutor(_TOGETHER, thread_name_prefix="insisting")
