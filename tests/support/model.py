"""The reference: what a bank of a few accounts and keys must answer, in so little code that one can see it is right.

Amounts are minor units (US cents). It knows no broker, no worker and no retry; it applies each call at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

COMPLETED, FAILED, BLOCKED = "completed", "failed", "blocked"

# What the contract allows one customer by default.
MAX_MINOR = 100_000_000
HOURLY_COUNT = 50


@dataclass
class Account:
    """One account; `owner` is the place of its customer."""

    owner: int
    balance_minor: int = 0
    is_closed: bool = False


@dataclass(frozen=True)
class Order:
    """A transfer that is asked for; a side that is None is the world outside, and then an operator asks."""

    source: str | None
    to: str | None
    amount_minor: int


@dataclass
class Made:
    """How a transfer ended. `caller` is None for an operator's."""

    caller: int | None
    order: Order
    status: str
    code: str
    is_hidden: bool = False


@dataclass
class Model:
    """Accounts by id, and the count of what each customer had approved."""

    accounts: dict[str, Account] = field(default_factory=dict)
    approved: Counter[int] = field(default_factory=Counter)

    def transfer(self, caller: int | None, order: Order) -> Made:
        """Applies one order: screening first, then the first check that fails."""
        if caller is not None:
            if order.amount_minor > MAX_MINOR or self.approved[caller] >= HOURLY_COUNT:
                return Made(caller, order, BLOCKED, "transfer_blocked")
            self.approved[caller] += 1
        code = self._refusal(caller, order)
        if code:
            return Made(caller, order, FAILED, code)
        for account, change in ((order.source, -order.amount_minor), (order.to, order.amount_minor)):
            if account is not None:
                self.accounts[account].balance_minor += change
        return Made(caller, order, COMPLETED, "")

    def _refusal(self, caller: int | None, order: Order) -> str:
        if order.source == order.to:
            return "same_account"
        source, to = (self.accounts.get(side) if side else None for side in (order.source, order.to))
        if order.source and (source is None or caller not in {None, source.owner}):
            return "account_not_found"
        if order.to and to is None:
            return "destination_not_found"
        if any(side is not None and side.is_closed for side in (source, to)):
            return "account_closed"
        return "insufficient_funds" if source is not None and source.balance_minor < order.amount_minor else ""

    def close(self, caller: int, account_id: str) -> int:
        """The status of a customer's DELETE."""
        account = self.accounts[account_id]
        if account.owner != caller or account.is_closed:
            return 404
        if account.balance_minor:
            return 409
        account.is_closed = True
        return 204

    def open_balances(self, owner: int) -> dict[str, int]:
        """What a customer's list of accounts shows."""
        return {
            account_id: account.balance_minor
            for account_id, account in self.accounts.items()
            if account.owner == owner and not account.is_closed
        }


def status_of(made: Made) -> int:
    """The status by which the call for this transfer is answered."""
    if made.status == COMPLETED:
        return 201
    if made.status == BLOCKED:
        return 403
    return 404 if made.code == "account_not_found" else 422


def shown(made: Sequence[Made]) -> Counter[tuple[str, int]]:
    """What a list of transfers shows: how many of each status and amount."""
    return Counter((one.status, one.order.amount_minor) for one in made if not one.is_hidden)
