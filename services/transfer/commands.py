"""Commands in order, each once, over locked rows in memory: what every one answers, and what is then to be written."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import msgspec

from services.transfer import domain
from services.transfer.domain import CommandResult
from shared.contracts.gateway import (
    AccountCommand,
    CloseAccount,
    HideTransfer,
    OpenAccount,
    RenameAccount,
    RestoreAccount,
    RestoreTransfer,
)
from shared.contracts.transfer import AccountChanged, AccountState, CommandOutcome

# What an operation may differ in, by the names that clients know.
_FIELDS = {"name": "name", "currency": "currency", "owner_reference": "owner_id"}

Past = dict[UUID, tuple[AccountCommand, AccountChanged]]


class CommandBatch:
    """Applies commands in order to locked rows in memory, and remembers what is to be written.

    `transfers` says of each transfer that has ended whether it is hidden; `past` is what earlier commands answered.
    """

    def __init__(
        self, accounts: dict[UUID, AccountState], transfers: dict[UUID, bool], past: Past, now: datetime
    ) -> None:
        self._accounts = accounts
        self._transfers = transfers
        self._past = past
        self.now = now
        self.opened: dict[UUID, AccountState] = {}
        self.changed: dict[UUID, AccountState] = {}
        # Transfers that were hidden (true) or are shown again.
        self.turned: dict[UUID, bool] = {}
        self.fresh: list[tuple[AccountCommand, AccountChanged]] = []

    def apply(self, command: AccountCommand) -> AccountChanged:
        """How this command ends, or ended before."""
        if past := self._past.get(command.command_id):
            first, outcome = past
            return outcome if first.fingerprint == command.fingerprint else self._reused(first, command)
        outcome = self._outcome(command, self._decide(command))
        self._past[command.command_id] = (command, outcome)
        self.fresh.append((command, outcome))
        return outcome

    def _decide(self, command: AccountCommand) -> CommandResult:
        operation = command.operation
        if isinstance(operation, HideTransfer | RestoreTransfer):
            return self._turn(operation)
        if command.account_id is None:
            return CommandResult(CommandOutcome.ACCOUNT_NOT_FOUND)
        existing = self._accounts.get(command.account_id)
        result = self._change(command, operation, command.account_id, existing)
        if result.writes and result.account is not None:
            (self.opened if existing is None else self.changed)[command.account_id] = result.account
            self._accounts[command.account_id] = result.account
        return result

    def _turn(self, operation: HideTransfer | RestoreTransfer) -> CommandResult:
        hides = isinstance(operation, HideTransfer)
        is_deleted = self._transfers.get(operation.transfer_id)
        result = domain.hidden(is_deleted) if hides else domain.shown(is_deleted)
        if result.writes:
            self._transfers[operation.transfer_id] = self.turned[operation.transfer_id] = hides
        return result

    def _change(
        self,
        command: AccountCommand,
        operation: OpenAccount | RenameAccount | CloseAccount | RestoreAccount,
        account_id: UUID,
        existing: AccountState | None,
    ) -> CommandResult:
        if isinstance(operation, OpenAccount):
            return domain.opened(
                account_id=account_id,
                owner_id=operation.owner_id,
                name=operation.name,
                currency=operation.currency,
                existing=existing,
                now=self.now,
            )
        if isinstance(operation, RenameAccount):
            return domain.renamed(existing, owner_id=command.owner_id, name=operation.name, now=self.now)
        if isinstance(operation, CloseAccount):
            return domain.closed(existing, owner_id=command.owner_id, now=self.now)
        return domain.restored(existing, owner_id=command.owner_id, now=self.now)

    def _outcome(self, command: AccountCommand, result: CommandResult) -> AccountChanged:
        return AccountChanged(
            command_id=command.command_id,
            fingerprint=command.fingerprint,
            account_id=command.account_id,
            transfer_id=transfer_id_of(command),
            operation=str(command.operation.__struct_config__.tag),
            outcome=result.outcome,
            occurred_at=self.now,
            context=command.context,
            account=result.account,
        )

    def _reused(self, first: AccountCommand, command: AccountCommand) -> AccountChanged:
        """The same key with another payload; the first outcome stays as it is."""
        before, after = first.operation, command.operation
        differing = tuple(
            name for name, field in _FIELDS.items() if getattr(before, field, None) != getattr(after, field, None)
        )
        outcome = self._outcome(command, CommandResult(CommandOutcome.IDEMPOTENCY_KEY_REUSED))
        return msgspec.structs.replace(outcome, differing_fields=differing)


def transfer_id_of(command: AccountCommand) -> UUID | None:
    """The transfer that a command is about, if it is about one."""
    operation = command.operation
    return operation.transfer_id if isinstance(operation, HideTransfer | RestoreTransfer) else None
