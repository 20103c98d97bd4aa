"""Register, log in, log out, and who one is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain import parsing, requests
from services.gateway.domain.bodies import TokenBody, UserBody
from services.gateway.errors import Unauthenticated
from services.gateway.http.openapi import Call
from services.gateway.http.reading import Reader
from services.gateway.http.responses import answer, nothing
from services.gateway.http.tokens import Tokens
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Callers
from services.gateway.identity.logins import Logins
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.store import IdentityStore
from shared.ids import random_id


class AuthRoutes:
    """The calls under `/auth`."""

    def __init__(
        self,
        reader: Reader,
        callers: Callers,
        store: IdentityStore,
        passwords: Passwords,
        tokens: Tokens,
        logins: Logins,
        activities: Activities,
    ) -> None:
        self._reader = reader
        self._callers = callers
        self._store = store
        self._passwords = passwords
        self._tokens = tokens
        self._logins = logins
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        at, tag = "/api/v1/auth", "auth"
        return [
            Call(method="POST", path=f"{at}/register", endpoint=self.register, summary="Become a customer", tag=tag,
                 body=requests.Register, answers=UserBody, status=201, also=(409,), is_open=True),
            Call(method="POST", path=f"{at}/login", endpoint=self.login, summary="Get an access token", tag=tag,
                 body=requests.Login, answers=TokenBody, also=(401, 429), is_open=True),
            Call(method="POST", path=f"{at}/logout", endpoint=self.logout, summary="End this token", tag=tag,
                 status=204),
            Call(method="GET", path=f"{at}/me", endpoint=self.me, summary="Who am I", tag=tag, answers=UserBody),
        ]  # fmt: skip

    async def register(self, request: Request) -> Response:
        """A new customer."""
        body = await self._reader.body(request, requests.Register)
        email, full_name, password = parsing.checked(
            lambda: parsing.email(body.email),
            lambda: parsing.visible(body.full_name, "full_name"),
            lambda: parsing.text(body.password, "password"),
        )
        password_hash = await self._passwords.hash(password)
        user_id = random_id()
        act = activity("CREATE", "user", user_id, self._callers.context(request, user_id), details={"role": "customer"})
        user = await self._store.register(user_id, email, full_name, password_hash, act)
        self._activities.wake()
        return answer(user.body, 201)

    async def login(self, request: Request) -> Response:
        """A token. Address and password are wrong in the same way and after the same time."""
        body = await self._reader.body(request, requests.Login)
        user = await self._logins.user(request, body)
        token = self._tokens.make(user.id, user.token_version)
        return answer(TokenBody(access_token=token, expires_in=self._tokens.ttl_s))

    async def logout(self, request: Request) -> Response:
        """The token is dead at once, everywhere."""
        caller = await self._callers.of(request)
        act = activity("LOGOUT", "user", caller.user_id, caller.context)
        await self._store.revoke(caller.claims, act)
        self._activities.wake()
        return nothing()

    async def me(self, request: Request) -> Response:
        """The caller."""
        caller = await self._callers.of(request)
        user = await self._store.user(caller.user_id)
        if user is None:
            raise Unauthenticated
        return answer(user.body)
