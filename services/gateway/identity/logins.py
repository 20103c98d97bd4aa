"""Logging in: the throttle, then the password, and the audit told of the end. One way for tokens and for sessions."""

from __future__ import annotations

from starlette.requests import Request

from services.gateway.domain import parsing, requests
from services.gateway.errors import Forbidden, Unauthenticated
from services.gateway.http.addresses import counted_as
from services.gateway.idempotency.throttle import LoginThrottle
from services.gateway.identity.activity import BLOCKED, FAILED, SUCCESS, Activities, activity
from services.gateway.identity.callers import Callers
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.store import ADMIN, IdentityStore, User, normalised_email


class Logins:
    """Finds out whether somebody is who he says he is."""

    def __init__(
        self,
        callers: Callers,
        store: IdentityStore,
        passwords: Passwords,
        throttle: LoginThrottle,
        activities: Activities,
    ) -> None:
        self._callers = callers
        self._store = store
        self._passwords = passwords
        self._throttle = throttle
        self._activities = activities

    async def user(self, request: Request, body: requests.Login, *, operators_only: bool = False) -> User:
        """The user whose address and password these are. They are wrong in the same way and after the same time.

        Raises:
            RateLimited: too many have failed.
            Unauthenticated: wrong, or without access.
            Forbidden: right, but no operator where only operators are let in.
        """
        (email,) = parsing.checked(lambda: normalised_email(parsing.text(body.email, "email")))
        address = counted_as(self._callers.context(request).ip)
        reservation = await self._throttle.reserve(email, address)
        try:
            user = await self._store.user_by_email(email)
            is_right = await self._passwords.verify(body.password, user.password_hash if user else None)
        except Exception:
            # Nobody was told whether the password is right: this was no failure of his.
            await self._throttle.take_back(reservation, email, address)
            raise
        if user is None or not is_right or not user.is_active:
            await self._tell(request, user, FAILED, "bad_credentials")
            raise Unauthenticated("E-mail address or password is wrong.")
        await self._throttle.forgive(reservation, email, address)
        if operators_only and user.role != ADMIN:
            await self._tell(request, user, BLOCKED, Forbidden.code)
            raise Forbidden("Only operators are let in here.")
        await self._tell(request, user, SUCCESS)
        return user

    async def _tell(self, request: Request, user: User | None, status: str, error: str | None = None) -> None:
        user_id = user.id if user else None
        context = self._callers.context(request, user_id)
        await self._store.put_outbox([activity("LOGIN", "user", user_id, context, status=status, error=error)])
        self._activities.wake()
