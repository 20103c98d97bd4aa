"""Rows <-> decisions: one transaction a batch. Locks first; then, in later statements, what exists; then the rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from services.transfer import domain, rows
from services.transfer.commands import CommandBatch, transfer_id_of
from services.transfer.domain import Account, Book
from services.transfer.metrics import count_commands, count_settled
from shared.contracts.fraud import TransferScreened
from shared.contracts.gateway import AccountCommand
from shared.contracts.transfer import AccountChanged, AccountKind, AccountState, FailureReason, Status, TransferSettled
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
            now, ended = await self._ended(connection, wanted)
            fresh = [item for transfer_id, item in wanted.items() if transfer_id not in ended]
            settled = domain.settle(book, fresh, now=now, retries=retries)
            await self._write(connection, settled, book.changed, now)
        count_settled(settled)
        ended |= {item.instruction.transfer_id: item for item in settled}
        return {transfer_id: ended[transfer_id] for transfer_id in wanted}

    async def fail(self, item: TransferScreened, reason: FailureReason, *, retries: int) -> TransferSettled:
        """Commits a transfer that could not be carried as failed, unless it has ended after all."""
        transfer_id = item.instruction.transfer_id
        async with self._database.transaction() as connection:
            now, ended = await self._ended(connection, [transfer_id])
            if transfer_id in ended:
                return ended[transfer_id]
            failed = domain.ended(item, Status.FAILED, now=now, retries=retries, reason=reason)
            await self._write(connection, [failed], (), now)
        count_settled([failed])
        return failed

    async def _ended(self, connection: Connection, ids: Iterable[UUID]) -> tuple[datetime, dict[UUID, TransferSettled]]:
        """The time by the database, and those of these transfers that have ended."""
        found = await connection.fetch(SQL.ended, list(ids))
        return found[0]["now"], {row["id"]: rows.from_row(row) for row in found if row["id"] is not None}

    async def _write(
        self, connection: Connection, settled: Sequence[TransferSettled], changed: Sequence[Account], now: datetime
    ) -> None:
        if settled:
            ordered = sorted(settled, key=lambda item: item.instruction.transfer_id)
            await connection.execute(
                SQL.write_settled,
                *rows.to_columns(ordered),
                [account.account_id for account in changed],
                [account.balance_minor for account in changed],
                [account.account_seq for account in changed],
                now,
            )

    async def apply(self, commands: Sequence[AccountCommand]) -> list[AccountChanged]:
        """How each command ended, in order; one that was applied before gives the outcome it had then."""
        async with self._database.transaction() as connection:
            accounts, transfers = await self._lock_subjects(connection, commands)
            found = await connection.fetch(SQL.find_commands, [command.command_id for command in commands])
            past = {row["command_id"]: (_command(row["command"]), _changed(row["outcome"])) for row in found}
            now: datetime = await connection.fetchval(SQL.now)
            batch = CommandBatch(accounts, transfers, past, now)
            outcomes = [batch.apply(command) for command in commands]
            await self._write_commands(connection, batch)
        count_commands(outcome for _, outcome in batch.fresh)
        return outcomes

    async def _lock_subjects(
        self, connection: Connection, commands: Sequence[AccountCommand]
    ) -> tuple[dict[UUID, AccountState], dict[UUID, bool]]:
        """The accounts that the commands name, and whether each transfer they name is hidden; locked in id order."""
        account_ids = sorted({command.account_id for command in commands if command.account_id is not None})
        locked = await connection.fetch(SQL.lock_account_states, account_ids)
        accounts = {row["id"]: _account_state(row) for row in locked}
        transfer_ids = sorted({i for i in map(transfer_id_of, commands) if i is not None})
        if not transfer_ids:
            return accounts, {}
        shown = await connection.fetch(SQL.lock_transactions, transfer_ids)
        return accounts, {row["id"]: row["is_deleted"] for row in shown}

    async def _write_commands(self, connection: Connection, batch: CommandBatch) -> None:
        opened = sorted(batch.opened.values(), key=lambda account: account.account_id)
        changed = sorted(batch.changed.values(), key=lambda account: account.account_id)
        if opened:
            await connection.execute(SQL.insert_accounts, *_columns(opened, _OPENED))
        if changed:
            await connection.execute(SQL.write_accounts, *_columns(changed, _CHANGED))
        if batch.turned:
            await connection.execute(SQL.write_transactions, list(batch.turned), list(batch.turned.values()), batch.now)
        if batch.fresh:
            fresh = sorted(batch.fresh, key=lambda pair: pair[0].command_id)
            await connection.execute(
                SQL.insert_commands,
                [command.command_id for command, _ in fresh],
                [command.fingerprint for command, _ in fresh],
                [_encode(command).decode() for command, _ in fresh],
                [_encode(outcome).decode() for _, outcome in fresh],
            )


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
