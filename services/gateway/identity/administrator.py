"""The operator of the settings: made or brought up to date at each start, once the database answers."""

from __future__ import annotations

import asyncio

import structlog

from services.gateway.background import passes
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.store import ADMIN, IdentityStore
from services.gateway.settings import Settings

log = structlog.get_logger(__name__)

_AGAIN_S = 1.0


class Administrator:
    """Keeps one operator in step with the settings."""

    def __init__(self, settings: Settings, store: IdentityStore, passwords: Passwords) -> None:
        self._email = settings.admin_email
        self._password = settings.admin_password
        self._store = store
        self._passwords = passwords
        self.is_there = settings.admin_email is None

    async def ensure(self) -> None:
        """Returns once he is there."""
        while not self.is_there:
            try:
                self.is_there = await self._put()
            except Exception as error:
                if not passes(error):
                    raise
                log.warning("administrator_postponed", error=type(error).__name__)
                await asyncio.sleep(_AGAIN_S)

    async def _put(self) -> bool:
        """Whether he is as the settings say; not if somebody else changed him since he was looked at."""
        if self._email is None or self._password is None:
            return True
        password = self._password.get_secret_value()
        user = await self._store.user_by_email(self._email)
        is_admin = user is not None and user.role == ADMIN and user.is_active
        if is_admin and await self._passwords.verify(password, user.password_hash if user else None):
            return True
        password_hash = await self._passwords.hash(password)
        if not await self._store.put_admin(self._email, password_hash, after=user):
            return False
        log.info("administrator_put")
        return True
