"""Account commands: published once, applied once, answered from the committed outcome."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from uuid import UUID

from services.gateway.calls.outcomes import Outcomes
from services.gateway.calls.publishing import Requests
from services.gateway.calls.transfers import LEASE_MARGIN_S
from services.gateway.domain import ids, views
from services.gateway.domain.views import AccountView
from services.gateway.errors import (
    AccountNotEmpty,
    AccountNotFound,
    KeyReused,
    OutcomeUnknown,
    Problem,
    TransferNotFound,
)
from services.gateway.idempotency.leases import Leases
from services.gateway.identity.callers import Caller
from services.gateway.reads.accounts import AccountReads
from shared.contracts.gateway import (
    AccountCommand,
    CloseAccount,
    HideTransfer,
    OpenAccount,
    Operation,
    RenameAccount,
    RestoreAccount,
    RestoreTransfer,
)
from shared.contracts.transfer import AccountChanged, CommandOutcome
from shared.database import is_transient
from shared.ids import random_id


class AccountCommands:
    """Opens, renames, closes and restores accounts."""

    def __init__(
        self, instance: str, requests: Requests, outcomes: Outcomes, reads: AccountReads, leases: Leases
    ) -> None:
        self._instance = instance
        self._requests = requests
        self._outcomes = outcomes
        self._reads = reads
        self._leases = leases

    async def open(
        self, caller: Caller, name: str, currency: str, *, key: str | None, wait_s: float
    ) -> tuple[AccountView, bool]:
        """A new account of the caller, and whether the key had opened it before: then it is as it was opened.

        Raises:
            RequestInProgress: another call with this key is open.
            KeyReused: the key opened another account.
        """
        account_id = random_id() if key is None else ids.account_id(caller.user_id, ids.ACCOUNTS, key)
        command = self.opening(caller, account_id, caller.user_id, name, currency)
        if key is None:
            return account_of(await self.carry(command, wait_s)), False
        # A replay is looked up before anything else is decided: it needs neither broker nor worker.
        known = await self.known([command])
        if not known:
            async with self.alone(account_id, wait_s):
                # The call that held the lease may have ended since.
                known = await self.known([command])
                if not known:
                    changed = await self.carry(command, wait_s)
                    return account_of(changed), is_of_another(changed, caller)
        return account_of(known[account_id]), True

    def alone(self, subject_id: UUID, wait_s: float) -> AbstractAsyncContextManager[None]:
        """While the block runs, no other call does this.

        Raises:
            RequestInProgress: another call does.
        """
        return self._leases.held(str(subject_id), lease_s=wait_s + LEASE_MARGIN_S)

    async def known(self, commands: Sequence[AccountCommand]) -> dict[UUID, AccountChanged]:
        """How those of these commands that ended before did end."""
        found = await self._reads.outcomes([command.command_id for command in commands])
        return {c.command_id: _matched(c, found[c.command_id]) for c in commands if c.command_id in found}

    def opening(self, caller: Caller, account_id: UUID, owner_id: UUID, name: str, currency: str) -> AccountCommand:
        """The command that opens an account; its id is the account's, so that a key opens one."""
        return AccountCommand(
            command_id=account_id,
            fingerprint=ids.fingerprint_of("open", str(owner_id), name, currency),
            account_id=account_id,
            operation=OpenAccount(owner_id=owner_id, name=name, currency=currency),
            requested_at=datetime.now(UTC),
            context=caller.context,
            reply_to=self._instance,
        )

    async def rename(self, caller: Caller, account_id: UUID, name: str, wait_s: float) -> AccountView:
        """The caller's account under another name."""
        return account_of(await self._change(caller, account_id, RenameAccount(name=name), caller.user_id, wait_s))

    async def close(self, caller: Caller, account_id: UUID, wait_s: float) -> None:
        """The caller's account is gone from every list."""
        account_of(await self._change(caller, account_id, CloseAccount(), caller.user_id, wait_s))

    async def close_any(self, caller: Caller, account_id: UUID, wait_s: float) -> None:
        """Anyone's account is gone from every list."""
        account_of(await self._change(caller, account_id, CloseAccount(), None, wait_s))

    async def restore(self, caller: Caller, account_id: UUID, wait_s: float) -> AccountView:
        """Anyone's account, back."""
        return account_of(await self._change(caller, account_id, RestoreAccount(), None, wait_s))

    async def _change(
        self, caller: Caller, account_id: UUID, operation: Operation, owner_id: UUID | None, wait_s: float
    ) -> AccountChanged:
        tag = str(operation.__struct_config__.tag)
        command = AccountCommand(
            command_id=random_id(),
            fingerprint=ids.fingerprint_of(tag, str(account_id), getattr(operation, "name", "")),
            account_id=account_id,
            operation=operation,
            requested_at=datetime.now(UTC),
            context=caller.context,
            owner_id=owner_id,
            reply_to=self._instance,
        )
        return await self.carry(command, wait_s)

    async def turn(self, caller: Caller, operation: HideTransfer | RestoreTransfer, wait_s: float) -> None:
        """Anyone's transfer that has ended, hidden or shown again.

        Raises:
            TransferNotFound: there is none, or it is hidden already.
            OutcomeUnknown: nobody has told in time.
        """
        tag = str(operation.__struct_config__.tag)
        command = AccountCommand(
            command_id=random_id(),
            fingerprint=ids.fingerprint_of(tag, str(operation.transfer_id)),
            operation=operation,
            requested_at=datetime.now(UTC),
            context=caller.context,
            reply_to=self._instance,
        )
        refused = refusal(await self.carry(command, wait_s))
        if refused is not None:
            raise refused

    async def carry(self, command: AccountCommand, wait_s: float) -> AccountChanged:
        """How the command ended.

        Raises:
            OutcomeUnknown: it was handed on, and nobody has told its end in time.
        """
        self._requests.check()
        with self._outcomes.expect({command.command_id: command.fingerprint}) as expected:
            await self._requests.command(command)
            await expected.wait(wait_s)
            found = expected.arrived.get(command.command_id)
        if found is None:
            found = (await self._read([command.command_id])).get(command.command_id)
        if not isinstance(found, AccountChanged):
            raise OutcomeUnknown
        return _matched(command, found)

    async def _read(self, command_ids: Sequence[UUID]) -> dict[UUID, AccountChanged]:
        try:
            return await self._reads.outcomes(command_ids)
        except Exception as error:
            if is_transient(error):
                raise OutcomeUnknown from error
            raise

    async def carry_all(self, commands: Sequence[AccountCommand], wait_s: float) -> dict[UUID, AccountChanged]:
        """How each of these commands ended, by id, as far as is known in time."""
        self._requests.check()
        wanted = {command.command_id: command for command in commands}
        with self._outcomes.expect({i: command.fingerprint for i, command in wanted.items()}) as expected:
            await self._requests.whole(commands)
            await expected.wait(wait_s)
        found = {i: o for i, o in expected.arrived.items() if isinstance(o, AccountChanged)}
        missing = [command_id for command_id in wanted if command_id not in found]
        if missing:
            found |= await self._read(missing)
        return {command_id: _matched(wanted[command_id], changed) for command_id, changed in found.items()}


def _matched(command: AccountCommand, found: AccountChanged) -> AccountChanged:
    """The outcome of this command; or, where its id was used for something else, that it was, and what differs."""
    if found.fingerprint == command.fingerprint:
        return found
    first, asked = found.account, command.operation
    differing: tuple[str, ...] = ()
    if first is not None and isinstance(asked, OpenAccount):
        pairs = (
            ("name", first.name, asked.name),
            ("currency", first.currency, asked.currency),
            ("owner_reference", first.owner_id, asked.owner_id),
        )
        differing = tuple(name for name, one, other in pairs if one != other)
    return AccountChanged(
        command_id=command.command_id,
        fingerprint=command.fingerprint,
        account_id=command.account_id,
        operation=str(command.operation.__struct_config__.tag),
        outcome=CommandOutcome.IDEMPOTENCY_KEY_REUSED,
        occurred_at=command.requested_at,
        context=command.context,
        differing_fields=differing,
    )


def is_of_another(changed: AccountChanged, caller: Caller) -> bool:
    """Whether this outcome is surely of another call than the caller's, as when that one was not answered in time.

    It cannot tell two calls to which the client gave one request id; what was known before a call is known by that.
    """
    return changed.context.request_id != caller.context.request_id


def account_of(changed: AccountChanged) -> AccountView:
    """The account that a command left.

    Raises:
        Problem: the command was refused.
    """
    refused = refusal(changed)
    if refused is not None:
        raise refused
    if changed.account is None:
        raise Problem("The command was applied, and left no account.")
    return views.account(changed.account)


def refusal(changed: AccountChanged) -> Problem | None:
    """Why a command was refused; None if it was applied."""
    if changed.outcome is CommandOutcome.APPLIED:
        return None
    if changed.outcome is CommandOutcome.ACCOUNT_NOT_FOUND:
        return AccountNotFound()
    if changed.outcome is CommandOutcome.TRANSFER_NOT_FOUND:
        return TransferNotFound()
    if changed.outcome is CommandOutcome.ACCOUNT_NOT_EMPTY:
        return AccountNotEmpty()
    if changed.outcome is CommandOutcome.IDEMPOTENCY_KEY_REUSED:
        return KeyReused(changed.differing_fields)
    return Problem("The command could not be carried out.")
