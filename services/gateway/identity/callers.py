"""Who a request comes from: a token whose signature holds, and whose user PostgreSQL still vouches for, now."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TypeGuard
from uuid import UUID

import msgspec
from starlette.requests import Request

from services.gateway.errors import Forbidden, Unauthenticated
from services.gateway.http.addresses import ClientAddresses
from services.gateway.http.cookies import has_session, session_token
from services.gateway.http.frame import request_id_of, traceparent_of
from services.gateway.http.tokens import Claims, Tokens
from services.gateway.identity.activity import BLOCKED, Activities, activity
from services.gateway.identity.store import ADMIN, IdentityStore, Standing
from shared.contracts.base import Context
from shared.contracts.gateway import ActivityRecorded
from shared.messaging.batching import GATHERING_APART_S, Batcher

_USER_AGENT_MAX = 256
_TOGETHER_MAX = 500
_PATH_MAX = 255
_ADMIN = "/api/v1/admin/"
# What a call under `/admin` is about; all others are about money.
_CONCERNED = {
    "accounts": "account",
    "audit-logs": "audit_log",
    "dead-letters": "dead_letter",
    "ledger": "account",
    "users": "user",
}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller, and the context that his request hands on."""

    user_id: UUID
    is_admin: bool
    claims: Claims
    context: Context


class Callers:
    """Authenticates requests; all that arrive at once are looked up by one statement."""

    def __init__(
        self, tokens: Tokens, store: IdentityStore, addresses: ClientAddresses, activities: Activities
    ) -> None:
        self._tokens = tokens
        self._store = store
        self._addresses = addresses
        self._activities = activities
        self._standing: Batcher[Claims, Standing | None] = Batcher(
            self._look_up, items_max=_TOGETHER_MAX, apart_s_max=GATHERING_APART_S
        )

    async def of(self, request: Request) -> Caller:
        """The caller of this request.

        Raises:
            Unauthenticated: no token, or one that does not count (any more).
        """
        authorization = request.headers.get("authorization", "")
        if not authorization and has_session(request):
            return await self.in_session(request)
        return await self._caller(request, self._tokens.read(authorization))

    async def in_session(self, request: Request) -> Caller:
        """The caller whose session the browser's cookie holds, where a page of this gateway asks.

        Raises:
            Unauthenticated: no cookie, one that does not count (any more), or nothing that shows who asks.
        """
        return await self._caller(request, self._tokens.claims(session_token(request)))

    async def stands(self, caller: Caller) -> bool:
        """Whether he is still an operator whose token counts, for answers that go on."""
        standing = await self._standing.submit(caller.claims)
        return _counts(standing, caller.claims) and standing.role == ADMIN and caller.claims.exp > time.time()

    async def _caller(self, request: Request, claims: Claims) -> Caller:
        standing = await self._standing.submit(claims)
        if not _counts(standing, claims):
            raise Unauthenticated
        return Caller(
            user_id=claims.sub,
            is_admin=standing.role == ADMIN,
            claims=claims,
            context=self.context(request, claims.sub),
        )

    async def admin(self, request: Request) -> Caller:
        """The caller of an operator's call; anybody else is told to the audit before he is told.

        Raises:
            Unauthenticated: as `of`.
            Forbidden: somebody, but no operator.
        """
        caller = await self.of(request)
        if not caller.is_admin:
            await self._activities.tell(refusal(request, caller.context))
            raise Forbidden
        return caller

    def context(self, request: Request, user_id: UUID | None = None) -> Context:
        """What the request hands on to every message and audit row that it leads to."""
        headers = request.headers
        return Context(
            request_id=request_id_of(request.scope),
            user_id=user_id,
            ip=self._addresses.of(request),
            user_agent=_printable(headers.get("user-agent", ""), _USER_AGENT_MAX),
            traceparent=traceparent_of(request.scope),
        )

    async def drain(self) -> None:
        """Returns when no look-up is in flight."""
        await self._standing.drain()

    async def _look_up(self, tokens: Sequence[Claims]) -> Sequence[Standing | None]:
        return await self._store.standing(tokens)


def _counts(standing: Standing | None, claims: Claims) -> TypeGuard[Standing]:
    return (
        standing is not None and standing.is_active and not standing.is_revoked and standing.token_version == claims.ver
    )


def refusal(request: Request, context: Context) -> ActivityRecorded:
    """What the audit is told of somebody who is no operator and asked for an operator's call."""
    path = request.url.path
    area = path.removeprefix(_ADMIN).partition("/")[0]
    details = {"method": request.method, "path": path[:_PATH_MAX]}
    concerned = _CONCERNED.get(area, "transaction")
    return activity("ADMIN", concerned, None, context, status=BLOCKED, details=details, error=Forbidden.code)


def _printable(value: str, characters_max: int) -> str:
    value = value[:characters_max]
    return value if value.isprintable() else "".join(c for c in value if c.isprintable())
