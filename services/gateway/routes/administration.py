"""What an operator looks after: accounts that go and come back, and what all entries come to."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.calls.accounts import AccountCommands
from services.gateway.domain import bodies
from services.gateway.domain.bodies import AccountBody
from services.gateway.domain.trial_balance import TrialBalance
from services.gateway.domain.views import AccountView
from services.gateway.errors import AccountNotFound
from services.gateway.http.openapi import Call
from services.gateway.http.reading import command_wait_s, path_id
from services.gateway.http.responses import answer, nothing
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.reads.trial_balance import TrialBalances


class AdministrationRoutes:
    """The calls under `/admin` that look and mend."""

    def __init__(
        self,
        callers: Callers,
        commands: AccountCommands,
        trial_balances: TrialBalances,
        activities: Activities,
    ) -> None:
        self._callers = callers
        self._commands = commands
        self._trial_balances = trial_balances
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/admin", "operators"
        return [
            Call(method="DELETE", path=f"{at}/accounts/{{account_id}}", endpoint=self.close, tag=tag, status=204,
                 summary="Delete an empty account, whoever owns it", also=(403, 404, 409), waits=True),
            Call(method="POST", path=f"{at}/accounts/{{account_id}}/restore", endpoint=self.restore, tag=tag,
                 summary="Bring a deleted account back", answers=AccountBody, also=(403, 404), waits=True),
            Call(method="GET", path=f"{at}/ledger/trial-balance", endpoint=self.trial_balance, tag=tag,
                 summary="What all entries come to, by currency", answers=TrialBalance, also=(403,)),
        ]  # fmt: skip

    async def close(self, request: Request) -> Response:
        """The account is gone, if nothing is on it; its history stays. Settlement accounts belong to nobody: 404."""
        caller = await self._callers.admin(request)
        account_id = path_id(request, "account_id", AccountNotFound)
        await self._commands.close_any(caller, account_id, command_wait_s(request))
        return nothing()

    async def restore(self, request: Request) -> Response:
        """The account is back; its history never went."""
        caller = await self._callers.admin(request)
        account_id = path_id(request, "account_id", AccountNotFound)
        restored: AccountView = await self._commands.restore(caller, account_id, command_wait_s(request))
        return answer(bodies.account(restored, tell_deletion=True))

    async def trial_balance(self, request: Request) -> Response:
        """Debits and credits of every currency, in one reading of the whole ledger: on a large book it takes its time.
        It serves all who ask while it goes on, and then for nine times as long as it took (a second at least, ten
        minutes at most); `as_of` says when it began."""
        caller = await self._callers.admin(request)
        found = await self._trial_balances.now()
        await self._tell(caller, "read_trial_balance", None, status=found.status)
        return answer(found)

    async def _tell(self, caller: Caller, act: str, account_id: str | None, **details: Any) -> None:
        await self._activities.tell(
            activity("ADMIN", "account", account_id, caller.context, details={"act": act, **details})
        )
