"""The operator of the settings is seen to beside all other work, and none of it ends the gateway."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from services.gateway.errors import Overloaded
from services.gateway.identity import administrator as module
from services.gateway.identity.administrator import Administrator

SETTINGS: Any = SimpleNamespace(admin_email="operator@example.com", admin_password=SecretStr("correct horse"))


class _Busy:
    """Passwords whose queue is full for so many calls."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    async def hash(self, password: str) -> str:
        if self.refusals:
            self.refusals -= 1
            raise Overloaded
        return f"hash of {password}"


class _Rows:
    """The store, as far as the operator goes."""

    def __init__(self) -> None:
        self.put: list[tuple[Any, ...]] = []

    async def user_by_email(self, _: str) -> None:
        return None

    async def put_admin(self, *arguments: Any, **__: Any) -> bool:
        self.put.append(arguments)
        return True


async def test_a_queue_of_passwords_that_is_full_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the database was away at the start, and everybody logs in when it is back."""
    monkeypatch.setattr(module, "_AGAIN_S", 0.0)
    rows: Any = _Rows()
    passwords: Any = _Busy(refusals=3)
    administrator = Administrator(SETTINGS, rows, passwords)
    await administrator.ensure()
    assert rows.put == [(SETTINGS.admin_email, "hash of correct horse")]
    assert administrator.is_there
