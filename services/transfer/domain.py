"""How transfers settle: pure decisions over balances in memory. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import msgspec

from shared.contracts.fraud import TransferScreened, Verdict
from shared.contracts.gateway import Instruction, Kind
from shared.contracts.transfer import (
    AccountKind,
    AccountState,
    CommandOutcome,
    FailureReason,
    Posting,
    Sighting,
    Status,
    TransferSettled,
)
from shared.money import MAX_MINOR


class Account(msgspec.Struct, frozen=True):
    """What a decision needs to know of an account. `balance_minor` in minor units of `currency`."""

    account_id: UUID
    owner_id: UUID | None
    kind: AccountKind
    currency: str
    balance_minor: int
    account_seq: int
    is_deleted: bool


class Book:
    """The locked accounts of one batch: read once, changed in memory, written once each."""

    def __init__(self, accounts: Iterable[Account]) -> None:
        self._accounts = {account.account_id: account for account in accounts}
        self._changed: dict[UUID, Account] = {}

    def find(self, account_id: UUID) -> Account | None:
        """The account as the transfers so far have left it."""
        return self._accounts.get(account_id)

    @property
    def changed(self) -> Sequence[Account]:
        """The accounts that moved, in their last state, in id order."""
        return [self._changed[account_id] for account_id in sorted(self._changed)]

    def post(self, account: Account, amount_minor: int) -> Posting:
        """Adds `amount_minor` (negative for a debit) and takes the account's next position."""
        after = msgspec.structs.replace(
            account, balance_minor=account.balance_minor + amount_minor, account_seq=account.account_seq + 1
        )
        # The database asserts the same (`account_balance_covers`): a decision that let this through is a bug.
        if after.kind is AccountKind.CUSTOMER and after.balance_minor < 0:
            raise AssertionError(f"account {account.account_id} would be overdrawn")
        self._accounts[account.account_id] = self._changed[account.account_id] = after
        return Posting(
            account_id=account.account_id,
            account_seq=after.account_seq,
            balance_before_minor=account.balance_minor,
            balance_after_minor=after.balance_minor,
        )


def settle(book: Book, screened: Sequence[TransferScreened], *, now: datetime, retries: int) -> list[TransferSettled]:
    """How each transfer ends, in order; `book` is left as the completed ones leave it.

    Every transfer is decided alone and whole: one that fails has changed nothing.
    """
    return [_settle_one(book, item, now=now, retries=retries) for item in screened]


def _settle_one(book: Book, item: TransferScreened, *, now: datetime, retries: int) -> TransferSettled:
    if item.screening.verdict is Verdict.BLOCKED:
        return ended(item, Status.BLOCKED, now=now, retries=retries)
    instruction = item.instruction
    reason = refusal(book, instruction)
    if reason is not None:
        seen = _sighting(book, instruction) if reason is FailureReason.INSUFFICIENT_FUNDS else None
        return ended(item, Status.FAILED, now=now, retries=retries, reason=reason, seen=seen)
    debit = book.post(_known(book, instruction.from_account_id), -instruction.amount_minor)
    credit = book.post(_known(book, instruction.to_account_id), instruction.amount_minor)
    return ended(item, Status.COMPLETED, now=now, retries=retries, debit=debit, credit=credit)


def refusal(book: Book, instruction: Instruction) -> FailureReason | None:  # noqa: PLR0911 - one return a rule
    """Why this transfer cannot be made now, or None. The first check that fails is the reason."""
    if instruction.from_account_id == instruction.to_account_id:
        return FailureReason.SAME_ACCOUNT
    source = book.find(instruction.from_account_id)
    if source is None or not _may_debit(source, instruction):
        return FailureReason.ACCOUNT_NOT_FOUND
    destination = book.find(instruction.to_account_id)
    if destination is None or not _may_credit(destination, instruction):
        return FailureReason.DESTINATION_NOT_FOUND
    if source.is_deleted or destination.is_deleted:
        return FailureReason.ACCOUNT_CLOSED
    if not source.currency == destination.currency == instruction.currency:
        return FailureReason.CURRENCY_MISMATCH
    # The funds check. Settlement accounts stand for the world outside and may go below zero.
    if source.kind is AccountKind.CUSTOMER and source.balance_minor < instruction.amount_minor:
        return FailureReason.INSUFFICIENT_FUNDS
    if _beyond_limit(source, -instruction.amount_minor) or _beyond_limit(destination, instruction.amount_minor):
        return FailureReason.BALANCE_LIMIT
    return None


def _may_debit(source: Account, instruction: Instruction) -> bool:
    # Another's account answers as one that does not exist.
    if instruction.kind is Kind.TRANSFER:
        return source.kind is AccountKind.CUSTOMER and source.owner_id == instruction.owner_id
    wanted = AccountKind.SETTLEMENT if instruction.kind is Kind.DEPOSIT else AccountKind.CUSTOMER
    return source.kind is wanted


def _may_credit(destination: Account, instruction: Instruction) -> bool:
    wanted = AccountKind.SETTLEMENT if instruction.kind is Kind.WITHDRAWAL else AccountKind.CUSTOMER
    return destination.kind is wanted


def _beyond_limit(account: Account, amount_minor: int) -> bool:
    return abs(account.balance_minor + amount_minor) > MAX_MINOR


def _known(book: Book, account_id: UUID) -> Account:
    account = book.find(account_id)
    if account is None:
        raise AssertionError(f"account {account_id} was not locked")
    return account


def _sighting(book: Book, instruction: Instruction) -> Sighting:
    source = _known(book, instruction.from_account_id)
    return Sighting(balance_minor=source.balance_minor, account_seq=source.account_seq)


def ended(
    item: TransferScreened,
    status: Status,
    *,
    now: datetime,
    retries: int,
    reason: FailureReason | None = None,
    debit: Posting | None = None,
    credit: Posting | None = None,
    seen: Sighting | None = None,
) -> TransferSettled:
    """The settled event of one screened transfer."""
    return TransferSettled(
        instruction=item.instruction,
        screening=item.screening,
        status=status,
        settled_at=now,
        failure_reason=reason,
        retry_count=retries,
        debit=debit,
        credit=credit,
        seen=seen,
    )


def differing_fields(first: Instruction, other: Instruction) -> tuple[str, ...]:
    """The names of the request's fields in which two instructions differ, as clients know them."""
    pairs: Mapping[str, tuple[object, object]] = {
        "from_account_id": (first.from_account_id, other.from_account_id),
        "to_account_id": (first.to_account_id, other.to_account_id),
        "amount": (first.amount_minor, other.amount_minor),
        "currency": (first.currency, other.currency),
        "description": (first.description, other.description),
        "metadata": (bytes(first.metadata or b""), bytes(other.metadata or b"")),
    }
    return tuple(name for name, (one, two) in pairs.items() if one != two)


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended, and the account it leaves; `writes` where a row changed."""

    outcome: CommandOutcome
    account: AccountState | None = None
    writes: bool = False


def opened(
    *, account_id: UUID, owner_id: UUID, name: str, currency: str, existing: AccountState | None, now: datetime
) -> CommandResult:
    """A new account at zero. An id that exists under another command is a key that was used before."""
    if existing is not None:
        return CommandResult(CommandOutcome.IDEMPOTENCY_KEY_REUSED)
    account = AccountState(
        account_id=account_id,
        owner_id=owner_id,
        name=name,
        currency=currency,
        balance_minor=0,
        account_seq=0,
        version=1,
        created_at=now,
        updated_at=now,
    )
    return CommandResult(CommandOutcome.APPLIED, account, writes=True)


def renamed(existing: AccountState | None, *, owner_id: UUID | None, name: str, now: datetime) -> CommandResult:
    """The account under another name; its position in the ledger does not move."""
    if existing is None or existing.is_deleted or not _belongs(existing, owner_id):
        return CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)
    return _changed(existing, now, name=name)


def closed(existing: AccountState | None, *, owner_id: UUID | None, now: datetime) -> CommandResult:
    """An account without money, hidden from lists and closed to transfers."""
    if existing is None or existing.is_deleted or not _belongs(existing, owner_id):
        return CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)
    if existing.balance_minor != 0:
        return CommandResult(CommandOutcome.ACCOUNT_NOT_EMPTY, existing)
    return _changed(existing, now, is_deleted=True)


def restored(existing: AccountState | None, *, owner_id: UUID | None, now: datetime) -> CommandResult:
    """A closed account, open again; restoring an open one changes nothing."""
    if existing is None or not _belongs(existing, owner_id):
        return CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)
    if not existing.is_deleted:
        return CommandResult(CommandOutcome.APPLIED, existing)
    return _changed(existing, now, is_deleted=False)


def hidden(is_deleted: bool | None) -> CommandResult:
    """A transfer that has ended, out of every list. One that is hidden already is gone; None is no row at all."""
    if is_deleted is None or is_deleted:
        return CommandResult(CommandOutcome.TRANSFER_NOT_FOUND)
    return CommandResult(CommandOutcome.APPLIED, writes=True)


def shown(is_deleted: bool | None) -> CommandResult:
    """A hidden transfer, back; showing one that was never hidden changes nothing."""
    if is_deleted is None:
        return CommandResult(CommandOutcome.TRANSFER_NOT_FOUND)
    return CommandResult(CommandOutcome.APPLIED, writes=is_deleted)


def _belongs(account: AccountState, owner_id: UUID | None) -> bool:
    # Settlement accounts have no owner: no command touches them.
    return account.owner_id is not None and (owner_id is None or account.owner_id == owner_id)


def _changed(account: AccountState, now: datetime, **changes: object) -> CommandResult:
    after = msgspec.structs.replace(account, version=account.version + 1, updated_at=now, **changes)
    return CommandResult(CommandOutcome.APPLIED, after, writes=True)
