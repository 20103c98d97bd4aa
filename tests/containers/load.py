"""A recorded load through the proxy, and its judgement: what clients were told against what accounts hold."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx

from remit.amounts import minor_of
from remit.prove.clients import CURRENCY, Caller, Person, Worker, repeat, resolve
from remit.prove.clients import Bank as People
from remit.prove.history import Fate, History
from remit.prove.workload import Client, Population
from tests.support.bank import Bank, Session

_POPULATION = Population(customers=6, accounts_each=2)
_CLIENTS = 6
_OPENING = "200000.00"
# What an accepted transfer may take to its end once all is quiet (as in `remit prove`).
_END_WITHIN_S = 30.0
_TOGETHER = 8
_REPEATED_MAX = 300

# What a client may hear that repeats 503: outcomes, "not yet", and 409 while its own first call is still open. Anything
# else, a broken connection first of all, is an error.
_EXPECTED = frozenset({"200", "201", "202", "403", "404", "409", "422", "503"})


@dataclass
class Heard:
    """What clients heard while something was done to the deployment."""

    answers: Counter[str] = field(default_factory=Counter)

    @property
    def errors(self) -> dict[str, int]:
        """Answers that no client should see, by status or by what became of the connection."""
        return {name: count for name, count in self.answers.items() if name not in _EXPECTED}


class Load:
    """Customers with money, who work when told to, and remember everything that they hear."""

    def __init__(self, bank: Bank, http: httpx.AsyncClient) -> None:
        self._sessions = [bank.customer() for _ in range(_POPULATION.customers)]
        accounts = [
            UUID(bank.funded(self._sessions[customer], _OPENING))
            for customer in range(_POPULATION.customers)
            for _ in _POPULATION.accounts_of(customer)
        ]
        operator, customers = _person(bank.admin), [_person(one) for one in self._sessions]
        self._people = People(
            operator=operator, customers=customers, accounts=accounts, prober=operator, probed=(accounts[0],) * 2
        )
        self.history = History()
        self._caller = Caller([http], self._people, self.history)

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Heard]:
        """Clients at work for as long as the block lasts; each call that is open in the end is finished."""
        heard, stop, before = Heard(), asyncio.Event(), Counter(self.history.answers)
        seed = secrets.randbits(40)
        clients = [Client(seed, number, _POPULATION) for number in range(_CLIENTS)]
        at_work = [asyncio.create_task(Worker(one, self._caller, self.history, stop).run()) for one in clients]
        try:
            yield heard
        finally:
            stop.set()
            await asyncio.gather(*at_work)
            heard.answers = self.history.answers - before
            print(f"heard: {dict(heard.answers)}; fates: {dict(self.history.by_fate())}")

    async def judge(self) -> None:
        """Everything that was accepted has ended, replays are the same bytes, and balances add up to the cent."""
        history = self.history
        await resolve(self._caller, history, within_s=_END_WITHIN_S, together=_TOGETHER)
        lost = [t.transfer_id for t in history.items.values() if t.may_exist and t.fate is Fate.OPEN]
        assert not lost, f"accepted, and not ended: {lost[:5]}"
        ended = [told.intent for key, told in history.calls.items() if history.ended(key)]
        await repeat(self._caller, history, ended[-_REPEATED_MAX:], together=_TOGETHER)
        assert history.breaches == []
        assert self._balances() == self._expected()
        assert history.by_fate()[Fate.COMPLETED] > 0

    def _expected(self) -> dict[UUID, int]:
        """Each account's opening balance and what clients were told has moved. Minor units."""
        accounts = self._people.accounts
        expected = dict.fromkeys(accounts, minor_of(_OPENING, CURRENCY))
        for tracked in self.history.items.values():
            if tracked.fate is not Fate.COMPLETED:
                continue
            for place, sign in ((tracked.item.source, -1), (tracked.item.to, 1)):
                if place is not None:
                    expected[accounts[place]] += sign * tracked.item.amount_minor
        return expected

    def _balances(self) -> dict[UUID, int]:
        owners = [session for session in self._sessions for _ in range(_POPULATION.accounts_each)]
        pairs: Sequence[tuple[Session, UUID]] = list(zip(owners, self._people.accounts, strict=True))
        return {account: minor_of(owner.balance(str(account)), CURRENCY) for owner, account in pairs}


def _person(session: Session) -> Person:
    return Person(user_id=UUID(session.user["id"]), token=session.token)
