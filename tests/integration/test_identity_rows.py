"""Users as their rows tell of them."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from services.gateway.identity.administrator import Administrator
from services.gateway.identity.passwords import Passwords
from services.gateway.identity.store import SQL, IdentityStore
from shared.database import Database
from tests.integration.conftest import Whole

_ROUNDS, _AT_ONCE = 400, 4


async def test_a_password_is_kept_as_its_argon2id_hash_and_a_user_begins_as_a_customer(whole: Whole) -> None:
    user = whole.bank.customer().user
    row = await whole.owner.fetchrow("SELECT * FROM identity.users WHERE id = $1", UUID(user["id"]))
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$v=19$")
    assert (row["role"], row["is_active"]) == ("customer", True)
    assert "correct horse" not in str(dict(row))


async def test_an_owner_whom_calls_name_at_once_for_the_first_time_is_made_once_and_no_call_fails(
    owner: Database,
) -> None:
    """His id and his reference are both unique: a call may meet the row of another one at either."""
    for _ in range(_ROUNDS):
        owner_id = uuid4()
        asked = [[owner_id], [owner_id.hex]]
        made = await asyncio.gather(*(owner.fetch(SQL.add_owners, *asked) for _ in range(_AT_ONCE)))
        assert sum(map(len, made)) == 1


class _InStep(IdentityStore):
    """One whose first write waits until another gateway is about to write too."""

    def __init__(self, database: Database, together: asyncio.Barrier) -> None:
        super().__init__(database)
        self._together: asyncio.Barrier | None = together

    async def put_admin(self, *arguments: Any, **named: Any) -> bool:
        if (together := self._together) is not None:
            self._together = None
            await together.wait()
        return await super().put_admin(*arguments, **named)


@pytest.mark.parametrize("is_known", [False, True], ids=["a new operator", "another password"])
async def test_gateways_that_start_at_once_put_the_operator_once(owner: Database, is_known: bool) -> None:
    """Each write ends his tokens: after the second one, those that the first gateway gave out would be void."""
    email, passwords = f"{uuid4()}@example.com", Passwords(threads=2, waiting_max=2)

    def administrator(password: str, store: IdentityStore) -> Administrator:
        settings: Any = SimpleNamespace(admin_email=email, admin_password=SecretStr(password))
        return Administrator(settings, store, passwords)

    store, before = IdentityStore(owner), None
    if is_known:
        await administrator("the first password", store).ensure()
        before = await store.user_by_email(email)
        assert before is not None
    together = asyncio.Barrier(2)
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(administrator("correct horse", _InStep(owner, together)).ensure() for _ in range(together.parties))
        )
    user = await store.user_by_email(email)
    passwords.close()
    assert user is not None
    assert (user.role, user.is_active) == ("admin", True)
    assert user.token_version == (1 if before is None else before.token_version + 1)
