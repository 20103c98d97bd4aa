"""Rows <-> decisions: one transaction a batch. Locks first; then, in later statements, what exists; then the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.transfer import domain, rows
from services.transfer.domain import Account, Book, CommandResult
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand, CloseAccount, OpenAccount, RenameAccount
from shared.contracts.transfer import (
    AccountChanged,
    AccountKind,
    AccountState,
    CommandOutcome,
    FailureReason,
    Status,
    TransferSettled,
)
from shared.database import Connection, Database, Row, load_queries

SQL = load_queries(__file__)

_encode = msgspec.json.Encoder().encode
_changed = msgspec.json.Decoder(AccountChanged).decode
_command = msgspec.json.Decoder(AccountCommand).decode


class Store:
    """The schema `transfer` as its own service writes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def settle(self, screened: Sequence[TransferScreened], *, retries: int) -> dict[UUID, TransferSettled]:
        """How each of these transfers ended, by id: those that had ended before as they did then.

        The accounts are locked before anything is read, so of two workers that hold the same transfer the second
        finds the first's row. Where no account could be locked, the primary key decides and the batch runs again.
        """
        wanted = _first_of_each(screened)
        account_ids = sorted({account_id for item in wanted.values() for account_id in _account_ids(item)})
        async with self._database.transaction() as connection:
            book = Book(_account(row) for row in await connection.fetch(SQL.lock_accounts, account_ids))
            ended = await self._ended(connection, wanted)
            now: datetime = await connection.fetchval(SQL.now)
            fresh = [item for transfer_id, item in wanted.items() if transfer_id not in ended]
            settled = domain.settle(book, fresh, now=now, retries=retries)
            await self._write_balances(connection, book.changed, now)
            await self._insert(connection, settled)
        ended |= {item.instruction.transfer_id: item for item in settled}
        return {transfer_id: ended[transfer_id] for transfer_id in wanted}

    async def fail(self, item: TransferScreened, reason: FailureReason, *, retries: int) -> TransferSettled:
        """Commits a transfer that could not be carried as failed, unless it has ended after all."""
        transfer_id = item.instruction.transfer_id
        async with self._database.transaction() as connection:
            ended = await self._ended(connection, [transfer_id])
            if transfer_id in ended:
                return ended[transfer_id]
            now: datetime = await connection.fetchval(SQL.now)
            failed = domain.ended(item, Status.FAILED, now=now, retries=retries, reason=reason)
            await self._insert(connection, [failed])
        return failed

    async def _ended(self, connection: Connection, ids: Iterable[UUID]) -> dict[UUID, TransferSettled]:
        found = await connection.fetch(SQL.find_transactions, list(ids))
        return {row["id"]: rows.from_row(row) for row in found}

    async def _write_balances(self, connection: Connection, changed: Sequence[Account], now: datetime) -> None:
        if changed:
            await connection.execute(
                SQL.write_balances,
                [account.account_id for account in changed],
                [account.balance_minor for account in changed],
                [account.account_seq for account in changed],
                now,
            )

    async def _insert(self, connection: Connection, settled: Sequence[TransferSettled]) -> None:
        if settled:
            ordered = sorted(settled, key=lambda item: item.instruction.transfer_id)
            await connection.execute(SQL.insert_transactions, *rows.to_columns(ordered))

    async def apply(self, commands: Sequence[AccountCommand]) -> list[AccountChanged]:
        """How each command ended, in order; one that was applied before gives the outcome it had then."""
        async with self._database.transaction() as connection:
            account_ids = sorted({command.account_id for command in commands})
            locked = await connection.fetch(SQL.lock_account_states, account_ids)
            accounts = {row["id"]: _account_state(row) for row in locked}
            found = await connection.fetch(SQL.find_commands, [command.command_id for command in commands])
            past = {row["command_id"]: (_command(row["command"]), _changed(row["outcome"])) for row in found}
            now: datetime = await connection.fetchval(SQL.now)
            batch = _CommandBatch(accounts, past, now)
            outcomes = [batch.apply(command) for command in commands]
            await self._write_commands(connection, batch)
        return outcomes

    async def _write_commands(self, connection: Connection, batch: _CommandBatch) -> None:
        opened = sorted(batch.opened.values(), key=lambda account: account.account_id)
        changed = sorted(batch.changed.values(), key=lambda account: account.account_id)
        if opened:
            await connection.execute(SQL.insert_accounts, *_columns(opened, _OPENED))
        if changed:
            await connection.execute(SQL.write_accounts, *_columns(changed, _CHANGED))
        if batch.fresh:
            fresh = sorted(batch.fresh, key=lambda pair: pair[0].command_id)
            await connection.execute(
                SQL.insert_commands,
                [command.command_id for command, _ in fresh],
                [command.fingerprint for command, _ in fresh],
                [_encode(command).decode() for command, _ in fresh],
                [_encode(outcome).decode() for _, outcome in fresh],
            )


class _CommandBatch:
    """Applies commands in order to locked accounts in memory, and remembers what is to be written."""

    def __init__(
        self,
        accounts: dict[UUID, AccountState],
        past: dict[UUID, tuple[AccountCommand, AccountChanged]],
        now: datetime,
    ) -> None:
        self._accounts = accounts
        self._past = past
        self._now = now
        self.opened: dict[UUID, AccountState] = {}
        self.changed: dict[UUID, AccountState] = {}
        self.fresh: list[tuple[AccountCommand, AccountChanged]] = []

    def apply(self, command: AccountCommand) -> AccountChanged:
        if past := self._past.get(command.command_id):
            first, outcome = past
            return outcome if first.fingerprint == command.fingerprint else self._reused(first, command)
        result = self._decide(command)
        if result.writes and result.account is not None:
            self._keep(result.account)
        outcome = self._outcome(command, result)
        self._past[command.command_id] = (command, outcome)
        self.fresh.append((command, outcome))
        return outcome

    def _keep(self, account: AccountState) -> None:
        is_new = account.account_id not in self._accounts
        (self.opened if is_new else self.changed)[account.account_id] = account
        self._accounts[account.account_id] = account

    def _decide(self, command: AccountCommand) -> CommandResult:
        existing, operation = self._accounts.get(command.account_id), command.operation
        if isinstance(operation, OpenAccount):
            return domain.opened(
                account_id=command.account_id,
                owner_id=operation.owner_id,
                name=operation.name,
                currency=operation.currency,
                existing=existing,
                now=self._now,
            )
        if isinstance(operation, RenameAccount):
            return domain.renamed(existing, owner_id=command.owner_id, name=operation.name, now=self._now)
        if isinstance(operation, CloseAccount):
            return domain.closed(existing, owner_id=command.owner_id, now=self._now)
        return domain.restored(existing, owner_id=command.owner_id, now=self._now)

    def _outcome(self, command: AccountCommand, result: CommandResult) -> AccountChanged:
        return AccountChanged(
            command_id=command.command_id,
            fingerprint=command.fingerprint,
            account_id=command.account_id,
            operation=str(command.operation.__struct_config__.tag),
            outcome=result.outcome,
            occurred_at=self._now,
            context=command.context,
            account=result.account,
        )

    def _reused(self, first: AccountCommand, command: AccountCommand) -> AccountChanged:
        """The same key with another payload; the first outcome stays as it is."""
        names = ("name", "currency", "owner_id")
        before, after = first.operation, command.operation
        differing = tuple(name for name in names if getattr(before, name, None) != getattr(after, name, None))
        outcome = self._outcome(command, CommandResult(CommandOutcome.IDEMPOTENCY_KEY_REUSED))
        return msgspec.structs.replace(outcome, differing_fields=differing)


_OPENED = ("account_id", "owner_id", "name", "currency", "version", "created_at", "updated_at")
_CHANGED = ("account_id", "name", "version", "updated_at", "is_deleted")


def _columns(accounts: Sequence[AccountState], names: Sequence[str]) -> list[list[object]]:
    return [[getattr(account, name) for account in accounts] for name in names]


def _first_of_each(screened: Sequence[TransferScreened]) -> dict[UUID, TransferScreened]:
    """One batch may hold a transfer twice: the first is decided, in order of arrival."""
    wanted: dict[UUID, TransferScreened] = {}
    for item in screened:
        wanted.setdefault(item.instruction.transfer_id, item)
    return wanted


def _account_ids(item: TransferScreened) -> tuple[UUID, UUID]:
    return item.instruction.from_account_id, item.instruction.to_account_id


def _account(row: Row) -> Account:
    return Account(
        account_id=row["id"],
        owner_id=row["owner_id"],
        kind=AccountKind(row["kind"]),
        currency=row["currency"],
        balance_minor=row["balance_minor"],
        account_seq=row["account_seq"],
        is_deleted=row["is_deleted"],
    )


def _account_state(row: Row) -> AccountState:
    fields = {name: row[name] for name in AccountState.__struct_fields__ if name != "account_id"}
    return AccountState(account_id=row["id"], **fields)
