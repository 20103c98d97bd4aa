"""Dead letters and tries as rows: kept as they came, counted, and forgotten when the event has reached an end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.stack import Stack
from shared.database import Database, open_database
from shared.messaging.dead_letters import DeadLetters, Letter, Parked


@pytest.fixture
async def database(servers: Stack) -> AsyncIterator[Database]:
    """Audit's; each service has the same two tables."""
    async with open_database(servers.env["REMIT_AUDIT_POSTGRES_URL"], name="tests", schema="audit") as database:
        yield database


async def test_a_letter_that_comes_back_after_its_replay_is_open_again(database: Database) -> None:
    """It was carried, and then met the same end again: an operator has to know."""
    letter = Letter(message_type="t", reason="poison", detail="first", origin="audit.x", item=f"{uuid4()}")
    letters = DeadLetters(database)
    await letters.park([letter, letter])
    await letters.resolve(letter.letter_id, "replayed", by=None)
    await letters.park([letter])
    row = await _letter_row(database, letter)
    assert (row["resolution"], row["times_parked"]) == (None, 2)
    await letters.resolve(letter.letter_id, "replayed", by=None, times_parked=1)
    assert (await _letter_row(database, letter))["resolution"] is None
    await letters.resolve(letter.letter_id, "discarded", by=None)


async def test_a_letter_is_found_as_it_was_parked(database: Database) -> None:
    letter = Letter(message_type="t", reason="poison", detail="at \x00", origin="audit.x", item=f"{uuid4()}\x00")
    letters = DeadLetters(database)
    assert await letters.find(letter.letter_id) is None
    await letters.park([letter])
    assert (await _letter_row(database, letter))["detail"] == "at \\x00"
    kept = letter.item.replace("\x00", "\\x00")
    found = Parked(message_type="t", item=kept, times_parked=1, is_discarded=False)
    assert await letters.find(letter.letter_id) == found
    await letters.resolve(letter.letter_id, "discarded", by=None)
    assert await letters.find(letter.letter_id) == replace(found, is_discarded=True)


async def test_a_letter_that_is_discarded_while_it_is_replayed_says_that_it_was_replayed(database: Database) -> None:
    """The money has moved: by two workers an operator's two decisions may be carried out at once."""
    letter = Letter(message_type="t", reason="poison", detail="first", origin="audit.x", item=f"{uuid4()}")
    letters = DeadLetters(database)
    await letters.park([letter])
    begun = await letters.find(letter.letter_id)
    assert begun is not None
    await letters.resolve(letter.letter_id, "discarded", by=None)
    await letters.resolve(letter.letter_id, "replayed", by=None, times_parked=begun.times_parked)
    assert (await _letter_row(database, letter))["resolution"] == "replayed"
    await letters.resolve(letter.letter_id, "discarded", by=None)
    assert (await _letter_row(database, letter))["resolution"] == "replayed"


async def test_what_a_replay_met_is_kept_whatever_it_says(database: Database) -> None:
    """A zero character, which PostgreSQL's texts cannot hold, is told as such."""
    letter = Letter(message_type="t", reason="poison", detail="first", origin="audit.x", item=f"{uuid4()}")
    letters = DeadLetters(database)
    await letters.park([letter])
    await letters.keep(letter.letter_id, "refused:\x00")
    assert (await _letter_row(database, letter))["detail"] == "refused:\\x00"
    await letters.resolve(letter.letter_id, "discarded", by=None)


async def test_tries_count_until_the_event_has_reached_an_end(database: Database) -> None:
    event_id, other = uuid4(), uuid4()
    letters = DeadLetters(database)
    assert [await letters.count_try(event_id) for _ in range(3)] == [1, 2, 3]
    await letters.discount_try(event_id)
    assert await letters.count_try(event_id) == 3
    assert await letters.count_try(other) == 1
    await letters.forget(event_id)
    assert await letters.count_try(event_id) == 1
    assert await letters.count_try(other) == 2
    for each in (event_id, other):
        await letters.forget(each)


async def _letter_row(database: Database, letter: Letter) -> Any:
    return await database.fetchrow("SELECT * FROM dead_letters WHERE id = $1", letter.letter_id)
