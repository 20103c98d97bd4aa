"""Hashing costs a tenth of a second of a core: it waits in a bounded queue, and what is too much is refused at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from services.gateway.errors import Overloaded
from services.gateway.identity.passwords import Passwords


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    passwords = Passwords(threads=1, waiting_max=1)
    yield passwords
    passwords.close()


async def test_a_hash_is_argon2id_and_matches_its_password_alone(passwords: Passwords) -> None:
    hashed = await passwords.hash("correct horse")
    assert hashed.startswith("$argon2id$")
    assert await passwords.verify("correct horse", hashed)
    assert not await passwords.verify("correct horse?", hashed)
    assert not await passwords.verify("correct horse", None)


async def test_more_than_thread_and_queue_hold_is_refused_and_the_rest_is_served(passwords: Passwords) -> None:
    asked = [passwords.hash(f"password {n}") for n in range(5)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(answer, Overloaded) for answer in answers] == [False, False, True, True, True]
    assert (await passwords.hash("and now again")).startswith("$argon2id$")
