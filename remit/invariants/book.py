"""The book as one reader sees it: a snapshot a schema, taken in the order in which facts travel backwards.

Ledger and audit are read before transfer, and transfer before fraud. So an entry without its transfer, an event without
its decision, a transfer without its decision are breaches at once, also while money moves; only what follows its cause
(an entry, an event, a release) may be missing, and then only while it is young.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shared.database import Connection, Database, load_queries, open_database
from shared.errors import SettingsError
from shared.settings import Environment, owner_postgres_url

SQL = load_queries(__file__)

# In the order of their snapshots.
SCHEMAS = ("ledger", "audit", "transfer", "fraud")
_STATEMENT_TIMEOUT_S = 600
_DEFAULT_LAG_S = 60.0
_PAGE_ROWS = 10_000
# For a session that reads millions of rows once: sorts and hashes of a book of ten million transfers stay in memory
# or spill a little; writes nothing; may idle while another schema is read.
_SESSION = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY",
    f"SET LOCAL statement_timeout = '{_STATEMENT_TIMEOUT_S}s'",
    "SET LOCAL idle_in_transaction_session_timeout = '900s'",
    "SET LOCAL work_mem = '128MB'",
    "SELECT 1",
)


class View:
    """One schema in one snapshot."""

    def __init__(self, schema: str, database: Database, connection: Connection) -> None:
        self.schema = schema
        # For readers that take no snapshot of ours; it has a connection besides this one.
        self.database = database
        self._connection = connection
        # Two invariants at once share the snapshot, one statement at a time.
        self._turn = asyncio.Lock()

    async def fetch(self, statement: str, *arguments: object) -> list[Any]:
        """The rows of a statement whose result is small: figures, differences, a range of keys."""
        async with self._turn:
            return list(await self._connection.fetch(statement, *arguments, timeout=_STATEMENT_TIMEOUT_S))

    async def value(self, statement: str, *arguments: object) -> Any:
        """The one value of a statement."""
        async with self._turn:
            return await self._connection.fetchval(statement, *arguments, timeout=_STATEMENT_TIMEOUT_S)

    async def pages(self, statement: str, *arguments: object) -> AsyncIterator[list[Any]]:
        """The rows of a large result, a bounded page at a time."""
        async with self._turn:
            cursor = await self._connection.cursor(statement, *arguments, timeout=_STATEMENT_TIMEOUT_S)
        while True:
            async with self._turn:
                page = await cursor.fetch(_PAGE_ROWS, timeout=_STATEMENT_TIMEOUT_S)
            if not page:
                return
            yield page


@dataclass(frozen=True, kw_only=True)
class Book:
    """All schemas. What is younger than `lag_s` seconds may still be on its way."""

    ledger: View
    audit: View
    transfer: View
    fraud: View
    lag_s: float

    @property
    def views(self) -> tuple[View, ...]:
        """Every schema that a worker owns."""
        return (self.ledger, self.audit, self.transfer, self.fraud)


@asynccontextmanager
async def open_book(environment: Environment) -> AsyncIterator[Book]:
    """Snapshots of all schemas as their owner, held until the end: no service's role may read all that is compared.

    Raises:
        SettingsError: an address is missing.
        DatabaseUnavailable: a server does not answer.
    """
    lag_s = max_lag_s(environment)
    async with AsyncExitStack() as stack:
        views: dict[str, View] = {}
        for schema in SCHEMAS:
            url = owner_postgres_url(environment, schema)
            database = await stack.enter_async_context(
                open_database(url, name="remit verify", schema=schema, connections_max=2)
            )
            connection = await stack.enter_async_context(database.transaction())
            for statement in _SESSION:
                await connection.execute(statement)
            views[schema] = View(schema, database, connection)
        yield Book(**views, lag_s=lag_s)


def max_lag_s(environment: Environment) -> float:
    """Seconds for which what follows its cause may be missing.

    Raises:
        SettingsError: the setting is not a number above zero.
    """
    text = environment.get("REMIT_LEDGER_MAX_LAG_S", "").strip()
    try:
        lag_s = float(text) if text else _DEFAULT_LAG_S
    except ValueError:
        lag_s = 0.0
    if not 0 < lag_s < float("inf"):
        raise SettingsError("REMIT_LEDGER_MAX_LAG_S must be a number of seconds above zero")
    return lag_s
