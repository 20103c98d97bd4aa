"""Users as their rows tell of them."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

from services.gateway.identity.store import SQL
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
