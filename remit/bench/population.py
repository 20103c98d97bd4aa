"""Who is at the bank: owners that an operator brought in, without passwords, each with one account and money on it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from random import Random
from uuid import UUID

import msgspec

from remit.bench.lab import Lab
from remit.bench.load import Template
from remit.client.client import open_client
from remit.client.http import Credentials
from remit.client.models import NewAccount
from remit.errors import CommandError
from services.gateway.http.tokens import Tokens
from shared.money import to_text

CURRENCY = "USD"
BATCH_ITEMS = 500
_TOGETHER = 1_000
_OPENING_MINOR = 100_000_000
_AMOUNT_MINOR_MAX = 500
# Of ten transfers, how many go to the hot account.
_HOT_OF_TEN = 9
# Requests are made before the load begins, and sent again and again, each time under a fresh key.
_SINGLE_TEMPLATES = 20_000
_BATCH_TEMPLATES = 300
# Tokens outlive any run.
_TOKEN_TTL_S = 86_400


class Population:
    """The accounts, and requests that move money between them. What is drawn is drawn from `seed`."""

    def __init__(self, accounts: Sequence[str], tokens: Sequence[str], operator: str, seed: int) -> None:
        self.accounts = accounts
        self._tokens = tokens
        self._operator = operator
        self._draw = Random(seed)  # noqa: S311 - a load that repeats, no secret

    @property
    def hot_account(self) -> str:
        """The one into which nine of ten transfers of hot loads go. It pays nothing in them."""
        return self.accounts[0]

    def singles(self, *, is_hot: bool) -> list[Template]:
        """Customers' transfers, one a request."""
        return [self._single(is_hot=is_hot) for _ in range(_SINGLE_TEMPLATES)]

    def batches(self, *, is_hot: bool) -> list[Template]:
        """Customers' batches: one pays many."""
        return [self._batch(is_hot=is_hot) for _ in range(_BATCH_TEMPLATES)]

    def operator_batches(self, *, is_hot: bool) -> list[Template]:
        """An operator's batches: many pay many, each against limits of his own."""
        return [
            Template("/admin/transfers/batch", self._operator, self._items([self._payer() for _ in range(BATCH_ITEMS)],
            is_hot=is_hot)) for _ in range(_BATCH_TEMPLATES)
        ]  # fmt: skip

    def _single(self, *, is_hot: bool) -> Template:
        payer = self._payer()
        body = msgspec.json.encode(self._order(payer, is_hot=is_hot)).decode()
        return Template("/transfers", self._tokens[payer], body)

    def _batch(self, *, is_hot: bool) -> Template:
        payer = self._payer()
        return Template("/transfers/batch", self._tokens[payer], self._items([payer] * BATCH_ITEMS, is_hot=is_hot))

    def _items(self, payers: Sequence[int], *, is_hot: bool) -> str:
        return msgspec.json.encode({"transfers": [self._order(payer, is_hot=is_hot) for payer in payers]}).decode()

    def _payer(self) -> int:
        return self._draw.randrange(1, len(self.accounts))

    def _order(self, payer: int, *, is_hot: bool) -> dict[str, str]:
        # Any other account: a step around the ring that is never whole.
        to = (payer + self._draw.randrange(1, len(self.accounts))) % len(self.accounts)
        if is_hot and self._draw.randrange(10) < _HOT_OF_TEN:
            to = 0
        return {
            "from_account_id": self.accounts[payer],
            "to_account_id": self.accounts[to],
            "amount": to_text(self._draw.randint(1, _AMOUNT_MINOR_MAX), CURRENCY),
            "currency": CURRENCY,
        }


async def populate(lab: Lab, customers: int, seed: int) -> Population:
    """Owners and accounts by the operator's call, each opening balance a deposit like any other.

    Nobody pays for a password, and nobody logs in: their tokens are signed as the gateway would.

    Raises:
        CommandError: an account was refused.
    """
    env, opened = lab.env, list[tuple[str, str]]()
    login = Credentials(email=env["REMIT_GATEWAY_ADMIN_EMAIL"], password=env["REMIT_GATEWAY_ADMIN_PASSWORD"])
    run = secrets.token_hex(4)
    async with open_client(env["REMIT_API_URL"], login) as client:
        admin = await client.me()
        for begin in range(0, customers, _TOGETHER):
            wanted = [_account(run, n) for n in range(begin, min(begin + _TOGETHER, customers))]
            for item in await client.open_accounts(wanted):
                if item.account is None or item.account.owner_id is None:
                    raise CommandError(f"an account was refused: {item.code}")
                opened.append((item.account.id, item.account.owner_id))
    tokens = Tokens(lab.stack.service_settings("gateway")["REMIT_GATEWAY_JWT_SECRET"], _TOKEN_TTL_S)
    # A user who has just been made bears version 1; the operator logged in, and nothing has ended his tokens.
    signed = [tokens.make(UUID(owner_id), 1) for _, owner_id in opened]
    return Population([account_id for account_id, _ in opened], signed, tokens.make(UUID(admin.id), 1), seed)


def _account(run: str, n: int) -> NewAccount:
    return NewAccount(
        owner_reference=f"bench-{run}-{n}",
        name="Current",
        currency=CURRENCY,
        idempotency_key=f"bench-{run}-{n}",
        opening_balance=to_text(_OPENING_MINOR, CURRENCY),
    )
