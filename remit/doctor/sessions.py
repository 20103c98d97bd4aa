"""Sessions of the doctor at PostgreSQL: read only, and bounded in time by both ends."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

CONNECT_TIMEOUT_S = 3
_STATEMENT_TIMEOUT_S = 5

Session = psycopg.AsyncConnection[DictRow]


@asynccontextmanager
async def session(url: str) -> AsyncIterator[Session]:
    """A session in one transaction that cannot write.

    Raises:
        psycopg.Error: the server does not answer, or refuses.
    """
    connection = await psycopg.AsyncConnection.connect(
        url, connect_timeout=CONNECT_TIMEOUT_S, application_name="remit doctor", row_factory=dict_row
    )
    async with connection:
        # A pooler between may give the next statement another session.
        connection.prepare_threshold = None
        await connection.set_read_only(True)
        await connection.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'")
        yield connection


async def rows(connection: Session, statement: str, **arguments: Any) -> list[DictRow]:
    """The rows of a statement of ours."""
    return await (await connection.execute(statement.encode(), arguments)).fetchall()


async def timed_row(connection: Session, statement: str) -> tuple[DictRow, float]:
    """One row, and the moment (Unix time, seconds) in the middle of asking for it."""
    asked_s = time.time()
    found = await rows(connection, statement)
    return found[0], (asked_s + time.time()) / 2
