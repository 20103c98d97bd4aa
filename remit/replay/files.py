"""The two files: read as streams, checked whole before the first cent moves."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from remit.amounts import minor_of
from remit.errors import EXIT_USAGE, CommandError
from remit.replay.mapping import ColumnMap
from shared.errors import BusinessError
from shared.money import AmountInvalid, exponent_of

_HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class AccountRow:
    """One account of the file. `line` counts from 1, the header's; `opening_minor` in minor units of `currency`."""

    line: int
    account: str
    owner: str
    name: str
    currency: str
    opening_minor: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TransferRow:
    """One transfer of the file, between accounts as the file names them. Empty texts: not given."""

    line: int
    source: str
    destination: str
    amount_minor: int
    currency: str
    reference: str
    time: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """A file, what it holds (SHA-256), and how to read it."""

    path: Path
    sha256: str
    columns: ColumnMap
    currency: str


def open_source(path: Path, columns: ColumnMap, currency: str) -> Source:
    """The file with its hash.

    Raises:
        CommandError: it cannot be read, or `currency` is not an active ISO 4217 code.
    """
    total = hashlib.sha256()
    with _reading(path), path.open("rb") as file:
        exponent_of(currency)
        while block := file.read(_HASH_BLOCK_BYTES):
            total.update(block)
    return Source(path=path, sha256=total.hexdigest(), columns=columns, currency=currency)


def read_accounts(source: Source) -> list[AccountRow]:
    """All accounts.

    Raises:
        CommandError: a line is wrong, or an account stands twice.
    """
    columns = source.columns
    accounts: dict[str, AccountRow] = {}
    for line, row in _rows(source, {"id": columns.id}):
        with _at(source.path, line):
            name = _required(row, columns.id)
            if name in accounts:
                raise AmountInvalid(f"account {name!r} stands twice (first on line {accounts[name].line})")
            accounts[name] = _account(row, line, name, source)
    return list(accounts.values())


def _account(row: Mapping[str, str | None], line: int, name: str, source: Source) -> AccountRow:
    columns = source.columns
    currency = _optional(row, columns.currency) or source.currency
    opening_minor = minor_of(_optional(row, columns.balance) or "0", currency)
    if opening_minor < 0:
        raise AmountInvalid("an account cannot begin below zero")
    return AccountRow(
        line=line,
        account=name,
        owner=_optional(row, columns.owner) or name,
        name=_optional(row, columns.name) or f"Account {name}",
        currency=currency,
        opening_minor=opening_minor,
    )


def read_transfers(source: Source) -> Iterator[TransferRow]:
    """The transfers in order, as a stream.

    Raises:
        CommandError: a line is wrong.
    """
    columns = source.columns
    named = {"from": columns.from_, "to": columns.to, "amount": columns.amount}
    for line, row in _rows(source, named):
        with _at(source.path, line):
            transfer = _transfer(row, line, source)
        yield transfer


def _transfer(row: Mapping[str, str | None], line: int, source: Source) -> TransferRow:
    columns = source.columns
    currency = _optional(row, columns.currency) or source.currency
    amount_minor = minor_of(_required(row, columns.amount), currency)
    if amount_minor <= 0:
        raise AmountInvalid("the amount must be above zero")
    return TransferRow(
        line=line,
        source=_required(row, columns.from_),
        destination=_required(row, columns.to),
        amount_minor=amount_minor,
        currency=currency,
        reference=_optional(row, columns.reference),
        time=_optional(row, columns.time),
    )


def check_transfers(source: Source, accounts: Callable[[str], bool]) -> int:
    """How many transfers there are, all of them sound: a file that is wrong further down must not be half replayed.

    Raises:
        CommandError: a line is wrong, or names an account that the other file does not have.
    """
    count = 0
    for row in read_transfers(source):
        for account in (row.source, row.destination):
            if not accounts(account):
                raise CommandError(f"{source.path.name}, line {row.line}: there is no account {account!r}", EXIT_USAGE)
        count += 1
    return count


def _rows(source: Source, named: Mapping[str, str]) -> Iterator[tuple[int, dict[str, str | None]]]:
    with _reading(source.path), source.path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for key, column in named.items():
            if column not in (reader.fieldnames or ()):
                raise CommandError(f"{source.path.name} has no column {column!r} (for {key!r}; see --map)", EXIT_USAGE)
        for row in reader:
            yield reader.line_num, row


def _required(row: Mapping[str, str | None], column: str) -> str:
    value = _optional(row, column)
    if not value:
        raise AmountInvalid(f"{column!r} is empty")
    return value


def _optional(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip() if column else ""


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CommandError(f"cannot read {path}: {error}", EXIT_USAGE) from None


@contextmanager
def _at(path: Path, line: int) -> Iterator[None]:
    try:
        yield
    except BusinessError as error:
        raise CommandError(f"{path.name}, line {line}: {error}", EXIT_USAGE) from None
