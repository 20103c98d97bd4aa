"""The replay itself: accounts first, then the transfers, a batch at a time, each sent when the one before has ended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Protocol, TypeVar

import msgspec

from remit.amounts import minor_of
from remit.client import Account, BatchItem, NewAccount, NewTransfer, Problem
from remit.console import Meter
from remit.errors import CommandError
from remit.replay.checkpoint import Checkpoint, Tally, identity
from remit.replay.figures import Figures, balances_sha256
from remit.replay.files import AccountRow, Source, TransferRow, read_transfers
from remit.replay.keys import Operation, item_key
from shared.money import to_text

Row = TypeVar("Row")


class Api(Protocol):
    """What a replay asks of the API."""

    async def open_accounts(self, accounts: Sequence[NewAccount]) -> Sequence[BatchItem]: ...

    async def make_transfers(self, transfers: Sequence[NewTransfer]) -> Sequence[BatchItem]: ...

    def all_accounts(self) -> AsyncIterable[Account]: ...


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to replay. `transfers_total` was counted when the file was checked."""

    accounts: Sequence[AccountRow]
    accounts_sha256: str
    transfers: Source
    transfers_total: int
    batch_size: int
    api_url: str


@dataclass(kw_only=True)
class Speed:
    """What this run did itself: the seconds that each batch of transfers took, and how many transfers were in them."""

    sent: int = 0
    skipped: int = 0
    batch_s: list[float] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        """From the first transfer sent to the last one ended."""
        return sum(self.batch_s)


class Replay:
    """One run. `checkpoint_for` makes the memory of a replay from its identity; None does without."""

    def __init__(
        self, api: Api, plan: Plan, progress: Meter, checkpoint_for: Callable[[str], Checkpoint] | None
    ) -> None:
        self._api = api
        self._plan = plan
        self._progress = progress
        self._checkpoint_for = checkpoint_for
        self.speed = Speed()

    async def run(self) -> Figures:
        """Replays everything that has not ended yet, and reads what came of it.

        Raises:
            CommandError: the API refused an item for a reason that is not an outcome.
            RemitError: it could not be reached, or items did not end.
        """
        opened = await self._open_accounts()
        tally = await self._make_transfers(opened)
        balances = await self._read_balances(opened)
        return Figures(
            accounts=len(opened),
            transfers=tally.ended,
            completed=tally.completed,
            refused=tally.refused,
            sum=sums(self._plan.accounts, balances),
            balances_sha256=balances_sha256(balances),
        )

    async def _open_accounts(self) -> Mapping[str, Account]:
        plan = self._plan
        self._progress.stage("accounts", len(plan.accounts))
        opened: dict[str, Account] = {}
        for batch in batches(plan.accounts, plan.batch_size):
            items = await self._api.open_accounts([new_account(row, plan.accounts_sha256) for row in batch])
            for row, item in zip(batch, items, strict=True):
                if item.account is None or item.status_code >= 300:
                    raise CommandError(f"line {row.line} of the accounts: {described(item.problem)}")
                opened[row.account] = item.account
            self._progress.advance(len(batch))
        return opened

    async def _make_transfers(self, opened: Mapping[str, Account]) -> Tally:
        plan = self._plan
        checkpoint = self._checkpoint(opened)
        tally = checkpoint.load() if checkpoint else Tally()
        self.speed.skipped = tally.ended
        self._progress.stage("transfers", plan.transfers_total, tally.ended)
        rows = islice(read_transfers(plan.transfers), tally.ended, None)
        for batch in batches(rows, plan.batch_size):
            begun_s = time.monotonic()
            items = await self._api.make_transfers(
                [
                    new_transfer(row, plan.transfers.sha256, opened[row.source].id, opened[row.destination].id)
                    for row in batch
                ]
            )
            self.speed.batch_s.append(time.monotonic() - begun_s)
            self.speed.sent += len(batch)
            tally.count(outcome(row.line, item) for row, item in zip(batch, items, strict=True))
            if checkpoint:
                checkpoint.save(tally)
            self._progress.advance(len(batch))
        return tally

    def _checkpoint(self, opened: Mapping[str, Account]) -> Checkpoint | None:
        if self._checkpoint_for is None:
            return None
        accounts = ((name, account.id, _as_told(account.created_at)) for name, account in opened.items())
        sha256 = self._plan.transfers.sha256
        return self._checkpoint_for(identity(transfers_sha256=sha256, api_url=self._plan.api_url, accounts=accounts))

    async def _read_balances(self, opened: Mapping[str, Account]) -> Mapping[str, int]:
        """The balance of each account of the file in minor units, as the public API lists it."""
        self._progress.stage("balances", len(opened))
        names = {account.id: name for name, account in opened.items()}
        balances: dict[str, int] = {}
        async for account in self._api.all_accounts():
            if (name := names.get(account.id)) is not None:
                balances[name] = minor_of(account.balance, account.currency)
                self._progress.advance(1)
        if missing := len(names) - len(balances):
            raise CommandError(f"{missing} of {len(names)} accounts are not listed; were they closed?")
        return balances


def new_account(row: AccountRow, file_sha256: str) -> NewAccount:
    """A line of the accounts as an item of the call. At zero there is nothing to deposit."""
    return NewAccount(
        owner_reference=row.owner,
        name=row.name,
        currency=row.currency,
        opening_balance=to_text(row.opening_minor, row.currency) if row.opening_minor else None,
        idempotency_key=item_key(file_sha256, row.line, Operation.OPEN),
    )


def new_transfer(row: TransferRow, file_sha256: str, from_account_id: str, to_account_id: str) -> NewTransfer:
    """A line of the transfers as an item of the call; what Remit has no field for goes into the metadata."""
    metadata = {name: value for name, value in (("reference", row.reference), ("time", row.time)) if value}
    return NewTransfer(
        from_account_id=from_account_id,
        to_account_id=to_account_id,
        amount=to_text(row.amount_minor, row.currency),
        currency=row.currency,
        metadata=metadata or None,
        idempotency_key=item_key(file_sha256, row.line, Operation.TRANSFER),
    )


def outcome(line: int, item: BatchItem) -> str | None:
    """Why an ended transfer was refused, or None where it completed.

    Raises:
        CommandError: the item was turned away without a decision; going on would break the file's order.
    """
    if item.transfer is not None and item.transfer.status == "completed":
        return None
    problem = item.problem
    if problem is not None and problem.failure_reason:
        return problem.failure_reason
    if problem is not None and problem.code == "transfer_blocked":
        return "+".join(sorted({reason.code for reason in problem.reasons})) or problem.code
    raise CommandError(f"line {line} of the transfers: {described(problem)}")


def _as_told(moment: datetime) -> str:
    """A moment in the words of the API: what a replay remembers was written down in them."""
    told: str = msgspec.to_builtins(moment)
    return told


def described(problem: Problem | None) -> str:
    """A problem as the operator reads it."""
    if problem is None:
        return "an answer without outcome"
    if problem.code == "idempotency_key_reused":
        return "this line was replayed before with another content; other accounts, mapping or currency?"
    return f"{problem.status} {problem.code} {problem.detail}".strip()


def sums(accounts: Iterable[AccountRow], balances_minor: Mapping[str, int]) -> Mapping[str, str]:
    """The sum of `balances_minor` by currency, as decimal strings."""
    totals: Counter[str] = Counter()
    for account in accounts:
        totals[account.currency] += balances_minor[account.account]
    return {currency: to_text(total, currency) for currency, total in sorted(totals.items())}


def batches(rows: Iterable[Row], size: int) -> Iterator[Sequence[Row]]:
    """`rows` in order, `size` at a time."""
    remaining = iter(rows)
    while batch := list(islice(remaining, size)):
        yield batch
