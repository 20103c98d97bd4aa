"""What clients do: a stream of intents a client, as a function of the seed alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from uuid import UUID

# What one transfer may be at most (the limit's default), in minor units.
_LIMIT_MINOR = 100_000_000
# Of what the rich ask for, the part that is about as much as the limit; and the part of that which goes nowhere.
_LARGE_OF_RICH = 0.3
_LARGE_IN_VAIN = 0.3


class Kind(StrEnum):
    """The calls that move money."""

    TRANSFER = "transfer"
    BATCH = "batch"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One transfer that is asked for. `source` and `to` are places in the population; None is an unknown account."""

    source: int | None
    to: int | None
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One call under one key, repeated until its outcome is known or the client gives up."""

    number: int
    kind: Kind
    key: str
    # The place of the customer who asks; operators' calls have none.
    customer: int | None
    items: tuple[Item, ...]
    # Whether the client does not wait for the end, but asks for the status until it is there.
    polls: bool
    # How often it asks in vain before it leaves the key to be resolved in the end.
    tries: int
    # Whether it asks once more after the end, to see the same bytes.
    repeats: bool
    # Whether it then asks for something else under the same key, to be refused.
    alters: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """`customers` people with `accounts_each` accounts; the first account of all is where much of the money goes.

    The `rich` ask for large amounts again and again, some of them in vain: what fails must count for nothing, and the
    rest not exceed the daily limit by a cent.
    """

    customers: int
    accounts_each: int
    rich: frozenset[int] = frozenset()

    def accounts_of(self, customer: int) -> Sequence[int]:
        """The places of a customer's accounts."""
        return range(customer * self.accounts_each, (customer + 1) * self.accounts_each)

    @property
    def accounts(self) -> int:
        """How many there are."""
        return self.customers * self.accounts_each


class Client:
    """One of several clients that work at the same time; its intents depend on the seed and its number alone."""

    def __init__(self, seed: int, number: int, population: Population) -> None:
        self._random = Random(f"{seed} client {number}")  # noqa: S311 - a schedule that repeats, no secret
        self._prefix = f"prove-{seed}-{number}"
        self._number = number
        self._population = population

    def intents(self) -> Iterator[Intent]:
        """What this client wants, without end."""
        made = 0
        while True:
            made += 1
            yield self._intent(made)

    def _intent(self, made: int) -> Intent:
        draw = self._random
        kind = draw.choices(tuple(Kind), weights=(80, 9, 7, 4))[0]
        # The first customer asks more often than the others: sooner or later the counts stop him.
        customer = 0 if draw.random() < 0.25 else draw.randrange(self._population.customers)
        is_operator = kind in {Kind.DEPOSIT, Kind.WITHDRAWAL}
        size = draw.randint(2, 25) if kind is Kind.BATCH else 1
        return Intent(
            number=made,
            kind=kind,
            key=f"{self._prefix}-{made}",
            customer=None if is_operator else customer,
            items=tuple(self._item(kind, customer) for _ in range(size)),
            polls=kind is Kind.TRANSFER and draw.random() < 0.2,
            tries=draw.choice((1, 3, 10, 10, 10)),
            repeats=draw.random() < 0.15,
            alters=draw.random() < 0.05,
        )

    def _item(self, kind: Kind, customer: int) -> Item:
        draw = self._random
        own = draw.choice(self._population.accounts_of(customer))
        if kind is Kind.DEPOSIT:
            return Item(source=None, to=own, amount_minor=draw.randint(1, 50_000))
        if kind is Kind.WITHDRAWAL:
            return Item(source=own, to=None, amount_minor=draw.randint(1, 5_000))
        if customer in self._population.rich and draw.random() < _LARGE_OF_RICH:
            to = None if draw.random() < _LARGE_IN_VAIN else self._destination(own)
            return Item(source=own, to=to, amount_minor=self._large_minor())
        return Item(source=own, to=self._destination(own), amount_minor=self._amount_minor())

    def _destination(self, own: int) -> int | None:
        draw = self._random
        if draw.random() < 0.02:
            return None
        if draw.random() < 0.3 and own != 0:
            return 0
        # Another account than its own; the same one now and then, to be refused.
        step = draw.randrange(0 if draw.random() < 0.02 else 1, self._population.accounts)
        return (own + step) % self._population.accounts

    def _amount_minor(self) -> int:
        draw = self._random
        size = draw.random()
        if size < 0.90:
            return draw.randint(1, 5_000)
        if size < 0.97:
            return draw.randint(5_000, 2_000_000)
        return self._large_minor()

    def _large_minor(self) -> int:
        return self._random.choice((_LIMIT_MINOR - 1, _LIMIT_MINOR, _LIMIT_MINOR + 1))


# No account has this id; every client means the same one by "unknown".
UNKNOWN_ACCOUNT = UUID("00000000-0000-4000-8000-00000000dead")
