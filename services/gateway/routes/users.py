"""Users as an operator changes them: their role, and whether they may come in at all."""

from __future__ import annotations

from uuid import UUID

from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain import requests
from services.gateway.domain.bodies import UserBody
from services.gateway.domain.usage import Usage
from services.gateway.errors import Forbidden, OwnAccess, Problem, UserNotFound
from services.gateway.http.openapi import Call
from services.gateway.http.reading import Reader, path_id
from services.gateway.http.responses import answer
from services.gateway.identity.activity import FAILED, SUCCESS, Activities, activity
from services.gateway.identity.callers import Caller, Callers
from services.gateway.identity.store import IdentityStore, UserChange
from services.gateway.reads.usage import UsageReads
from shared.contracts.gateway import ActivityRecorded


class UserRoutes:
    """The calls under `/admin/users`."""

    def __init__(
        self, reader: Reader, callers: Callers, store: IdentityStore, reads: UsageReads, activities: Activities
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._store = store
        self._reads = reads
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        return [
            Call(method="PATCH", path="/api/v1/admin/users/{user_id}", endpoint=self.change, tag="operators",
                 summary="Change a user's role or access", body=requests.ChangeUser, answers=UserBody,
                 also=(403, 404, 409)),
            Call(method="GET", path="/api/v1/admin/users/{user_id}/usage", endpoint=self.usage, tag="operators",
                 summary="What a user has used of fraud's limits", answers=Usage, also=(403, 404)),
        ]  # fmt: skip

    async def change(self, request: Request) -> Response:
        """The user as he is now; whatever was changed, his tokens have ended."""
        caller = await self._callers.admin(request)
        user_id = path_id(request, "user_id", UserNotFound)
        body = await self._reader.body(request, requests.ChangeUser)
        change = UserChange(
            user_id=user_id,
            role=None if body.role is UNSET else body.role,
            is_active=None if body.is_active is UNSET else body.is_active,
        )
        try:
            user = await self._store.change(
                caller.user_id,
                change,
                lambda before: _told(caller, change, before={"role": before["role"], "is_active": before["is_active"]}),
            )
        except (Forbidden, OwnAccess, UserNotFound) as refused:
            await self._activities.tell(_told(caller, change, refused=refused))
            raise
        self._activities.wake()
        return answer(user.body)

    async def usage(self, request: Request) -> Response:
        """Counts and amounts in their rolling windows right now, by fraud's clock, beside the limits that its workers
        go by. A limit that is off is null."""
        caller = await self._callers.admin(request)
        user_id = path_id(request, "user_id", UserNotFound)
        if await self._store.user(user_id) is None:
            raise UserNotFound
        found = await self._reads.of(user_id)
        await self._activities.tell(activity("ADMIN", "user", user_id, caller.context, details={"act": "read_usage"}))
        return answer(found)


def _told(
    caller: Caller, change: UserChange, *, before: dict[str, object] | None = None, refused: Problem | None = None
) -> ActivityRecorded:
    user_id: UUID = change.user_id
    wanted = {"role": change.role, "is_active": change.is_active}
    details: dict[str, object] = {"changed": {name: value for name, value in wanted.items() if value is not None}}
    if before is not None:
        details["before"] = before
    return activity(
        "UPDATE",
        "user",
        user_id,
        caller.context,
        status=SUCCESS if refused is None else FAILED,
        details=details,
        error=None if refused is None else refused.code,
    )
