"""The session of an operator's browser: begun with a password, renewed while the page is open, ended at once."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain import requests
from services.gateway.domain.bodies import SessionBody
from services.gateway.errors import Unauthenticated
from services.gateway.http.cookies import check_page, kept
from services.gateway.http.openapi import Call
from services.gateway.http.reading import Reader
from services.gateway.http.responses import answer, nothing
from services.gateway.http.tokens import Claims, Tokens
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Callers
from services.gateway.identity.logins import Logins
from services.gateway.identity.store import IdentityStore, User


class SessionRoutes:
    """The calls of `/auth/session`."""

    def __init__(
        self,
        reader: Reader,
        callers: Callers,
        store: IdentityStore,
        tokens: Tokens,
        logins: Logins,
        activities: Activities,
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._store = store
        self._tokens = tokens
        self._logins = logins
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/auth/session", "auth"
        return [
            Call(method="POST", path=at, endpoint=self.begin, summary="Log in to the console", tag=tag, is_open=True,
                 body=requests.Login, answers=SessionBody, also=(401, 403, 429)),
            Call(method="GET", path=at, endpoint=self.look, summary="Who is logged in to the console", tag=tag,
                 is_open=True, answers=SessionBody, also=(204,)),
            Call(method="PUT", path=at, endpoint=self.renew, summary="Stay logged in to the console", tag=tag,
                 is_of_session=True, answers=SessionBody),
            Call(method="DELETE", path=at, endpoint=self.end, summary="Log out of the console", tag=tag,
                 is_of_session=True, status=204),
        ]  # fmt: skip

    async def begin(self, request: Request) -> Response:
        """A session for an operator, from a page of this gateway only; its token goes into an HttpOnly cookie."""
        check_page(request)
        # Before the password is tried: whether a browser would keep the cookie does not depend on it.
        kept(request, "", max_age_s=0)
        body = await self._reader.body(request, requests.Login)
        user = await self._logins.user(request, body, operators_only=True)
        return _answered(request, user, *self._tokens.begin_session(user.id, user.token_version))

    async def look(self, request: Request) -> Response:
        """The session that a page of this gateway has; 204 where there is none that counts."""
        try:
            caller = await self._callers.in_session(request)
        except Unauthenticated:
            return nothing()
        user = await self._store.user(caller.user_id)
        return nothing() if user is None else answer(_body(user, caller.claims))

    async def renew(self, request: Request) -> Response:
        """The same session with a new token, until the session itself ends."""
        caller = await self._callers.in_session(request)
        user = await self._store.user(caller.user_id)
        if user is None or caller.claims.until is None:
            raise Unauthenticated
        return _answered(request, user, *self._tokens.renewed(caller.claims))

    async def end(self, request: Request) -> Response:
        """All tokens of the session are dead at once, everywhere, and the cookie is gone."""
        caller = await self._callers.in_session(request)
        await self._store.revoke(caller.claims, activity("LOGOUT", "user", caller.user_id, caller.context))
        self._activities.wake()
        ended = nothing()
        ended.headers["Set-Cookie"] = kept(request, "", max_age_s=0)
        return ended


def _answered(request: Request, user: User, token: str, claims: Claims) -> Response:
    body = _body(user, claims)
    return answer(body, headers={"Set-Cookie": kept(request, token, max_age_s=body.expires_in)})


def _body(user: User, claims: Claims) -> SessionBody:
    now = int(time.time())
    return SessionBody(user=user.body, expires_in=claims.exp - now, ends_in=claims.counts_until - now)
