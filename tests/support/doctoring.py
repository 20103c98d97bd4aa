"""What `remit doctor` says is wrong, asked of it in this process; and how something is broken for it to say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg

from remit.doctor import Finding, Level, examine
from shared.settings import Environment

BOUND_S = 10.0


async def wrongs(environment: Environment) -> list[Finding]:
    """What is wrong, in the order of the areas."""
    found = await examine(environment, area_timeout_s=BOUND_S)
    return [finding for area in found.values() for finding in area if finding.level is Level.WRONG]


async def told(environment: Environment, words: str) -> Finding:
    """The one wrong thing whose sentence holds these words."""
    found = await wrongs(environment)
    matching = [finding for finding in found if words in finding.says]
    assert len(matching) == 1, f"{words!r} is not said once: {[finding.says for finding in found]}"
    return matching[0]


@asynccontextmanager
async def only_while(environment: Environment, words: str) -> AsyncIterator[None]:
    """The sentence is not said before the block's end, and not after its own cleaning up."""
    assert not [finding for finding in await wrongs(environment) if words in finding.says]
    yield
    assert not [finding for finding in await wrongs(environment) if words in finding.says]


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for part in filter(None, (part.strip() for part in statement.split(";"))):
            connection.execute(part.encode())
