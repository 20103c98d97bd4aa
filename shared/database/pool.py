"""A pool of connections to one schema, and transactions that nest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import asyncpg
import structlog

from shared.database.errors import is_out_of_step, is_transient
from shared.errors import Unavailable
from shared.observability.metrics import POOL

Row = asyncpg.Record

if TYPE_CHECKING:
    Connection = asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.pool.PoolConnectionProxy

log = structlog.get_logger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_CLOSE_TIMEOUT_S = 5.0
# lock < statement < what a caller waits: the innermost bound fires first and names the cause.
_SESSION_SETTINGS = {
    "lock_timeout": "2s",
    "statement_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "client_connection_check_interval": "10s",
    "timezone": "UTC",
    "jit": "off",
}
# A worker's transaction never waits for anybody between two statements: one that idles belongs to a process that is
# frozen or starved. Its locks go before a sibling has tried four times; should it come back, its transaction is aborted
# and its batch tried again.
WORKER_IDLE_MAX_S = 10
# A plan kept from when a table was empty scans it whole until statistics come, a minute later. Planning anew each time
# costs a tenth of a millisecond a statement, which lists with their many filters are worth.
_PLANNED_ANEW = {"plan_cache_mode": "force_custom_plan"}
# Statements that find rows by their keys have one good plan, whatever the statistics say: planned once, and never a
# scan of a whole table. A quarter of all that the database did for a transfer was planning.
_PLANNED_ONCE = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class SchemaOutOfStep(Unavailable):
    """The database lacks a table, column or privilege that this release needs."""


@contextmanager
def _in_step() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        if is_out_of_step(error):
            raise SchemaOutOfStep(str(error)) from error
        raise


class _Session(asyncpg.Connection):
    """A connection without a reset round trip: nothing here leaves session state behind."""

    def get_reset_query(self) -> str:
        return ""


class Database:
    """One schema as one role sees it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool
        self._current: ContextVar[Connection | None] = ContextVar("current_connection", default=None)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A READ COMMITTED transaction; inside another of the same task it is a savepoint. All or nothing.

        Raises:
            DatabaseUnavailable: no connection could be had.
        """
        outer = self._current.get()
        if outer is not None:
            with _in_step():
                async with outer.transaction():
                    yield outer
            return
        async with self._connection() as connection:
            token = self._current.set(connection)
            try:
                async with connection.transaction(isolation="read_committed"):
                    yield connection
            finally:
                self._current.reset(token)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            # The pool's own time-out would make a task each time.
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                connection = await self._pool.acquire()
        except Exception as error:
            if is_transient(error):
                raise DatabaseUnavailable(f"no connection: {type(error).__name__}") from error
            raise
        try:
            with _in_step():
                yield connection
        finally:
            # Shielded by the pool: a cancelled caller does not leave a connection half-released.
            await self._pool.release(connection, timeout=_CLOSE_TIMEOUT_S)

    @asynccontextmanager
    async def advisory_lock(self, key: int) -> AsyncIterator[bool]:
        """Holds a session's advisory lock on a connection of its own; yields False where another session has it."""
        async with self._connection() as connection:
            held = bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", key))
            try:
                yield held
            finally:
                if held and not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock($1)", key)

    async def fetch(self, statement: str, *arguments: Any) -> list[asyncpg.Record]:
        """The rows of one statement, outside any transaction of the caller."""
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *arguments))

    async def fetchrow(self, statement: str, *arguments: Any) -> asyncpg.Record | None:
        """The first row of one statement."""
        async with self._connection() as connection:
            return await connection.fetchrow(statement, *arguments)

    async def fetchval(self, statement: str, *arguments: Any) -> Any:
        """The first value of the first row of one statement."""
        async with self._connection() as connection:
            return await connection.fetchval(statement, *arguments)

    async def is_alive(self) -> bool:
        """Whether the server answers now."""
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                return bool(await self.fetchval("SELECT 1"))
        except Exception as error:  # noqa: BLE001 - any failure is the answer
            log.warning("database_not_alive", error=type(error).__name__)
            return False

    async def is_writable(self) -> bool:
        """Whether the server answers now and commits a write of this role (to `probes` in its own schema)."""
        try:
            async with (
                asyncio.timeout(_CONNECT_TIMEOUT_S),
                self.transaction() as connection,
            ):
                await connection.execute(PROBE)
        except Exception as error:  # noqa: BLE001 - any failure is the answer
            log.warning("database_not_writable", error=type(error).__name__)
            return False
        return True


PROBE = "INSERT INTO probes (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET at = clock_timestamp()"


@asynccontextmanager
async def open_database(
    url: str,
    *,
    name: str,
    schema: str | None = None,
    connections_max: int = 4,
    by_key: bool = False,
    idle_max_s: int | None = None,
) -> AsyncIterator[Database]:
    """A pool under `name`, with `schema` as its search path. Connects when first used, so a start needs no server.

    `by_key` tells that all statements which matter find their rows by keys. `idle_max_s`: how long a transaction may
    wait for its next statement before the server ends its session; 60 s if not said.
    """
    settings = {**_SESSION_SETTINGS, **(_PLANNED_ONCE if by_key else _PLANNED_ANEW), "application_name": name}
    if idle_max_s is not None:
        settings["idle_in_transaction_session_timeout"] = f"{idle_max_s}s"
    if schema is not None:
        settings["search_path"] = schema
    pool = asyncpg.create_pool(
        url,
        min_size=0,
        max_size=connections_max,
        max_inactive_connection_lifetime=300,
        timeout=_CONNECT_TIMEOUT_S,
        command_timeout=60,
        connection_class=_Session,
        server_settings=settings,
    )
    await pool
    for state, connections in (("open", pool.get_size), ("idle", pool.get_idle_size), ("max", pool.get_max_size)):
        POOL.labels(name, schema or "", state).set_function(connections)
    try:
        yield Database(pool)
    finally:
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await pool.close()
        except TimeoutError:
            pool.terminate()
