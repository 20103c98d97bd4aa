"""Soft delete and recovery of transfers: an operator hides one from lists and reads, and from nothing else."""

from __future__ import annotations

from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.accounts import AccountCommands
from services.gateway.domain import bodies
from services.gateway.domain.bodies import TransferBody
from services.gateway.errors import TransferNotFound, TransferPending
from services.gateway.http.openapi import Call
from services.gateway.http.reading import command_wait_s, path_id
from services.gateway.http.responses import answer, nothing
from services.gateway.identity.activity import FAILED, Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.lookup import TransferLookup
from services.gateway.reads.transfers import TransferReads
from shared.contracts.gateway import HideTransfer, RestoreTransfer


class DeletionRoutes:
    """The calls under `/admin/transfers` that hide and show."""

    def __init__(
        self,
        callers: Callers,
        commands: AccountCommands,
        lookup: TransferLookup,
        reads: TransferReads,
        activities: Activities,
    ) -> None:
        self._callers = callers
        self._commands = commands
        self._lookup = lookup
        self._reads = reads
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/admin/transfers/{transfer_id}", "operators"
        return [
            Call(method="DELETE", path=at, endpoint=self.delete, summary="Hide a transfer", tag=tag, status=204,
                 also=(403, 404, 409), waits=True),
            Call(method="POST", path=f"{at}/restore", endpoint=self.restore, summary="Bring a deleted transfer back",
                 tag=tag, answers=TransferBody, also=(403, 404, 409), waits=True),
        ]  # fmt: skip

    async def delete(self, request: Request) -> Response:
        """The transfer is absent from every list; money, limits, ledger and audit do not move."""
        caller = await self._callers.admin(request)
        transfer_id = path_id(request, "transfer_id", TransferNotFound)
        await self._check_ended(caller, transfer_id, "DELETE")
        await self._commands.turn(caller, HideTransfer(transfer_id=transfer_id), command_wait_s(request))
        return nothing()

    async def restore(self, request: Request) -> Response:
        """The transfer is back, as it was."""
        caller = await self._callers.admin(request)
        transfer_id = path_id(request, "transfer_id", TransferNotFound)
        await self._check_ended(caller, transfer_id, "RESTORE")
        await self._commands.turn(caller, RestoreTransfer(transfer_id=transfer_id), command_wait_s(request))
        view = await self._reads.row(transfer_id)
        if view is None:
            raise TransferNotFound
        return answer(bodies.transfer(view))

    async def _check_ended(self, caller: Caller, transfer_id: UUID, action: str) -> None:
        # The worker knows rows alone, and what is pending has none; whatever else is refused, it refuses.
        if not await self._lookup.is_pending(transfer_id):
            return
        await self._activities.tell(
            activity(action, "transaction", transfer_id, caller.context, status=FAILED, error=TransferPending.code)
        )
        raise TransferPending
