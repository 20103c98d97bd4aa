"""Finding transfers in whatever state: a row, else a decision, else a record that still waits in Redis."""

from __future__ import annotations

from uuid import UUID

from services.gateway.domain import views
from services.gateway.domain.views import TransferView
from services.gateway.idempotency.records import Records
from services.gateway.identity.callers import Caller
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.transfers import Filter, FullView, TransferReads, newest
from shared.errors import TransientError

_PENDING_RECORDS_MAX = 200


class TransferLookup:
    """Reads transfers for a caller, who sees his own, completed ones he was paid by, and nothing else."""

    def __init__(self, reads: TransferReads, accounts: AccountReads, records: Records) -> None:
        self._reads = reads
        self._accounts = accounts
        self._records = records

    async def one(self, caller: Caller, transfer_id: UUID) -> TransferView | None:
        """The transfer if this caller may see it.

        Raises:
            TransientError: neither table has it and Redis cannot tell.
        """
        full = await self._reads.full(transfer_id)
        if full is not None and _may_see(caller, full):
            return full.view
        # Another's goes the same way as one that does not exist: how long it takes tells nothing.
        pending = await self._pending(transfer_id)
        may_see = pending is not None and (caller.is_admin or _is_own(caller, pending))
        if may_see and not await self._reads.rows([transfer_id]):
            return pending
        # It has ended between two looks (its record ends only after its row is there), or is deleted, or never was.
        full = await self._reads.full(transfer_id)
        return full.view if full is not None and _may_see(caller, full) else None

    async def is_pending(self, transfer_id: UUID) -> bool:
        """Whether it was accepted and has not ended.

        Raises:
            TransientError: neither table has it and Redis cannot tell.
        """
        if await self._reads.rows([transfer_id]) or await self._pending(transfer_id) is None:
            return False
        return not await self._reads.rows([transfer_id])

    async def _pending(self, transfer_id: UUID) -> TransferView | None:
        decided = (await self._reads.decisions([transfer_id])).get(transfer_id)
        try:
            (held,) = await self._records.find([transfer_id])
        except TransientError:
            if decided is None:
                raise
            held = []
        if decided is not None:
            return views.pending(decided.instruction)
        for request in held:
            if request.instruction.transfer_id == transfer_id:
                return views.pending(request.instruction)
        return None

    async def page(self, caller: Caller, chosen: Filter, limit: int) -> list[TransferView]:
        """One page: rows and what is still under way, newest first."""
        pending = await self._all_pending(caller, chosen)
        if chosen.status == views.PENDING:
            rows: list[TransferView] = []
        elif caller.is_admin and chosen.account_id is not None:
            rows = await self._reads.of_account(chosen.account_id, chosen, limit)
        else:
            rows = await self._reads.own(caller.user_id, chosen, limit)
        return newest([*pending, *rows], limit)

    async def _all_pending(self, caller: Caller, chosen: Filter) -> list[TransferView]:
        if chosen.status not in {None, views.PENDING}:
            return []
        owner_id = await self._whose(caller, chosen)
        if owner_id is None:
            return []
        decided = await self._reads.decided_only(owner_id, chosen.idempotency_key)
        requests = await self._records.pending_of(owner_id, _PENDING_RECORDS_MAX)
        key = chosen.idempotency_key
        waiting = [
            views.pending(request.instruction)
            for request in requests
            if key is None or request.instruction.idempotency_key == key
        ]
        of_owner = {
            view.transfer_id: view for view in (*waiting, *decided) if view.owner_id == owner_id and chosen.takes(view)
        }
        if not of_owner:
            return []
        ended = await self._reads.rows(list(of_owner))
        return [view for transfer_id, view in of_owner.items() if transfer_id not in ended]

    async def _whose(self, caller: Caller, chosen: Filter) -> UUID | None:
        if not caller.is_admin or chosen.account_id is None:
            return caller.user_id
        account = await self._accounts.account(chosen.account_id)
        return None if account is None else account.owner_id


def _is_own(caller: Caller, view: TransferView) -> bool:
    return caller.user_id in {view.owner_id, view.caller_id}


def _may_see(caller: Caller, full: FullView) -> bool:
    if caller.is_admin or _is_own(caller, full.view):
        return True
    return full.payee_id == caller.user_id and full.view.status == views.COMPLETED
