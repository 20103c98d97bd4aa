"""Accounts opened by an operator: owners, accounts, then what the accounts hold from the start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from uuid import UUID

import msgspec
from msgspec import UnsetType

from services.gateway.calls.accounts import AccountCommands, account_of, is_of_another, refusal
from services.gateway.calls.batches import BatchCall, Batches
from services.gateway.calls.transfers import instruction_of
from services.gateway.domain import bodies, ids
from services.gateway.domain.bodies import AccountItemBody, TransferItemBody
from services.gateway.domain.parsing import Order
from services.gateway.domain.views import AccountView
from services.gateway.errors import OutcomeUnknown, Problem
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller
from services.gateway.identity.store import IdentityStore
from shared.contracts.gateway import BatchPlace, Instruction, Kind
from shared.contracts.transfer import AccountChanged, CommandOutcome
from shared.ids import random_id, settlement_account_id


class OpeningItem(msgspec.Struct, frozen=True, kw_only=True):
    """One account to open. `opening_minor` in minor units, zero for nothing."""

    reference: str
    name: str
    currency: str
    opening_minor: int
    key: str | None


class OpeningsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The items of the call, in order."""

    items: Sequence[AccountItemBody]
    is_replay: bool = False


class _Opening(msgspec.Struct, frozen=True, kw_only=True):
    item: OpeningItem
    owner_id: UUID
    account_id: UUID
    deposit_id: UUID


class Openings:
    """Carries batches of accounts. Each step is idempotent alone, so a repeated call goes on where one broke off."""

    def __init__(
        self,
        store: IdentityStore,
        commands: AccountCommands,
        batches: Batches,
        activities: Activities,
    ) -> None:
        self._store = store
        self._commands = commands
        self._batches = batches
        self._activities = activities

    async def carry(
        self, items: Sequence[OpeningItem], caller: Caller, *, key: str | None, wait_s: float
    ) -> OpeningsAnswer:
        """How each item ended; a repeated one is answered with its account as this call left it, not as it is now."""
        openings = [_derived(item, caller, key, index) for index, item in enumerate(items)]
        await self._make_owners(openings, caller)
        changed, is_known = await self._open(openings, caller, key, wait_s)
        # The record of the deposits stands for all of the call: what they are must be the same whenever it is repeated.
        is_told = len(changed) == len(openings)
        funded = [o for o in openings if is_told and o.item.opening_minor and _is_open(changed.get(o.account_id))]
        deposits, is_funded = await self._fund(funded, openings, caller, key, wait_s)
        request_id = caller.context.request_id
        answered = [_answered(index, opening, changed, deposits, request_id) for index, opening in enumerate(openings)]
        return OpeningsAnswer(items=answered, is_replay=is_known and is_funded)

    async def _open(
        self, openings: Sequence[_Opening], caller: Caller, key: str | None, wait_s: float
    ) -> tuple[Mapping[UUID, AccountChanged], bool]:
        """How the accounts' opening ended, as far as is known, and whether all of it had ended before this call."""
        commands = [
            self._commands.opening(caller, o.account_id, o.owner_id, o.item.name, o.item.currency) for o in openings
        ]
        known = await self._commands.known(commands)
        if len(known) == len(commands):
            return known, not any(map(_is_reuse, known.values()))
        async with AsyncExitStack() as held:
            if key is not None:
                await held.enter_async_context(self._commands.alone(_batch_id(caller, key), wait_s))
                # The call that held the lease may have ended since.
                known = await self._commands.known(commands)
            asked = [command for command in commands if command.command_id not in known]
            changed = await self._commands.carry_all(asked, wait_s) if asked else {}
        found = {**known, **changed}
        is_known = len(found) == len(commands) and all(is_of_another(one, caller) for one in changed.values())
        return found, is_known and not any(map(_is_reuse, found.values()))

    async def _make_owners(self, openings: Sequence[_Opening], caller: Caller) -> None:
        owners = {opening.owner_id: opening.item.reference for opening in openings}
        made = await self._store.add_owners(
            list(owners.items()),
            lambda owner_id: activity(
                "CREATE", "user", owner_id, caller.context, details={"owner_reference": owners[owner_id]}
            ),
        )
        if made:
            self._activities.wake()

    async def _fund(
        self, funded: Sequence[_Opening], openings: Sequence[_Opening], caller: Caller, key: str | None, wait_s: float
    ) -> tuple[Mapping[UUID, TransferItemBody], bool]:
        """How the deposits ended, and whether all of them had ended before this call."""
        if not funded:
            return {}, True
        fingerprint = ids.fingerprint_of("accounts", [_print(opening.item) for opening in openings])
        batch_id = random_id() if key is None else _batch_id(caller, key)
        instructions = [
            instruction_of(
                _deposit(opening),
                caller,
                opening.deposit_id,
                key=opening.item.key or key,
                batch=BatchPlace(batch_id=batch_id, fingerprint=fingerprint, index=index, count=len(funded)),
            )
            for index, opening in enumerate(funded)
        ]
        keyed = frozenset(index for index, opening in enumerate(funded) if opening.item.key is not None)
        call = BatchCall(batch_id=batch_id, fingerprint=fingerprint, instructions=instructions, keyed=keyed)
        found = await self._batches.carry(call, caller, wait_s=wait_s)
        is_replay = found.is_replay or all(map(_is_of_earlier, found.items, instructions))
        return {o.deposit_id: item for o, item in zip(funded, found.items, strict=True)}, is_replay


def _batch_id(caller: Caller, key: str) -> UUID:
    return ids.batch_id(caller.user_id, ids.ADMIN_ACCOUNTS_BATCH, key)


def _derived(item: OpeningItem, caller: Caller, key: str | None, index: int) -> _Opening:
    operation, caller_id = ids.ADMIN_ACCOUNTS_BATCH, caller.user_id
    scope: tuple[str, int | None] = (item.key, None) if item.key is not None else (key or "", index)
    return _Opening(
        item=item,
        owner_id=ids.owner_id(item.reference),
        account_id=ids.account_id(caller_id, operation, *scope),
        deposit_id=ids.transfer_id(caller_id, operation, *scope),
    )


def _deposit(opening: _Opening) -> Order:
    return Order(
        kind=Kind.DEPOSIT,
        from_account_id=settlement_account_id(opening.item.currency),
        to_account_id=opening.account_id,
        amount_minor=opening.item.opening_minor,
        currency=opening.item.currency,
    )


def _is_of_earlier(item: TransferItemBody, asked: Instruction) -> bool:
    """Whether a transfer has ended that another call than this one asked for."""
    transfer = item.transfer
    return not isinstance(transfer, UnsetType) and item.status_code == 201 and transfer.created_at != asked.requested_at


def _print(item: OpeningItem) -> str:
    return ids.fingerprint_of(item.reference, item.name, item.currency, str(item.opening_minor), item.key or "")


def _is_open(changed: AccountChanged | None) -> bool:
    return changed is not None and refusal(changed) is None


def _is_reuse(changed: AccountChanged) -> bool:
    return changed.outcome is CommandOutcome.IDEMPOTENCY_KEY_REUSED


def _answered(
    index: int,
    opening: _Opening,
    changed: Mapping[UUID, AccountChanged],
    deposits: Mapping[UUID, TransferItemBody],
    request_id: str,
) -> AccountItemBody:
    outcome = changed.get(opening.account_id)
    problem = OutcomeUnknown() if outcome is None else refusal(outcome)
    if problem is not None or outcome is None:
        return _refused(index, problem or OutcomeUnknown(), request_id)
    deposit = deposits.get(opening.deposit_id)
    if deposit is None and opening.item.opening_minor:
        # How another account of the call ended was not told, so nothing was paid in yet.
        return _refused(index, OutcomeUnknown(), request_id)
    status = 201 if deposit is None else deposit.status_code
    if deposit is not None and status not in {201, 202}:
        return AccountItemBody(index=index, status_code=status, problem=deposit.problem)
    account = bodies.account(_funded(account_of(outcome), opening, deposit))
    return AccountItemBody(index=index, status_code=status, account=account)


def _funded(account: AccountView, opening: _Opening, deposit: TransferItemBody | None) -> AccountView:
    """The account as it was opened, and what its first deposit, if it is there, made of it."""
    if deposit is None or deposit.status_code != 201 or isinstance(deposit.transfer, UnsetType):
        return account
    return msgspec.structs.replace(
        account,
        balance_minor=account.balance_minor + opening.item.opening_minor,
        account_seq=account.account_seq + 1,
        updated_at=deposit.transfer.settled_at or account.updated_at,
    )


def _refused(index: int, problem: Problem, request_id: str) -> AccountItemBody:
    return AccountItemBody(index=index, status_code=problem.status, problem=bodies.problem(problem, request_id))
