"""Users as their rows tell of them."""

from __future__ import annotations

from uuid import UUID

from tests.integration.conftest import Whole


async def test_a_password_is_kept_as_its_argon2id_hash_and_a_user_begins_as_a_customer(whole: Whole) -> None:
    user = whole.bank.customer().user
    row = await whole.owner.fetchrow("SELECT * FROM identity.users WHERE id = $1", UUID(user["id"]))
    assert row is not None
    assert row["password_hash"].startswith("$argon2id$v=19$")
    assert (row["role"], row["is_active"]) == ("customer", True)
    assert "correct horse" not in str(dict(row))
