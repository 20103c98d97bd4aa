"""Databases as tests use them: several pools at once, as several workers would have them, and a book without a past."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import UUID

import psycopg

from shared.database import Connection, Database, open_database
from shared.settings import SCHEMA_OWNERS


@asynccontextmanager
async def several(url: str, *, schema: str, count: int = 4) -> AsyncIterator[list[Database]]:
    """Pools with one role's address, as so many workers would have them."""
    async with AsyncExitStack() as stack:
        opening = (open_database(url, name=f"test {n}", schema=schema) for n in range(count))
        yield [await stack.enter_async_context(database) for database in opening]


def end_sessions(url: str, *, application: str = "%") -> None:
    """Ends the other sessions of this address's role, as a failover or an operator would.

    Asked of the server by the role itself: the pid of a session says nothing where the server has pids of its own.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE usename = current_user AND application_name LIKE %s AND pid <> pg_backend_pid()
            """,
            (application,),
        )


class Inside(Database):
    """A database as one connection sees it, inside whatever transaction is open there."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # the one use of the pool is overridden
        self.connection = connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        yield self.connection


@asynccontextmanager
async def undone(owner: Database) -> AsyncIterator[Inside]:
    """A transaction of the owner's that is rolled back at the end: nobody else ever sees what was done in it."""
    async with owner._connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield Inside(connection)
        finally:
            await transaction.rollback()


async def wipe(owner: Database) -> None:
    """Empties every schema, as migrations left it. For tests that judge the whole book; no worker may be running."""
    async with owner.transaction() as connection:
        tables = await _emptied(connection)
        await connection.execute(_each("ALTER TABLE {} DISABLE TRIGGER USER", tables))
        # Quicker than TRUNCATE where there is little, which makes every file of every index anew.
        await connection.execute(_each("DELETE FROM {}", tables))
        await connection.execute(
            """
            DELETE FROM transfer.accounts WHERE kind <> 'settlement';
            UPDATE transfer.accounts SET balance_minor = 0, account_seq = 0 WHERE account_seq > 0;
            UPDATE transfer.watermarks SET xid = DEFAULT, id = DEFAULT;
            UPDATE fraud.watermark SET xid = DEFAULT, place = DEFAULT;
            """
        )
        await connection.execute(_each("ALTER TABLE {} ENABLE TRIGGER USER", tables))


def _each(statement: str, tables: Iterable[str]) -> str:
    return "; ".join(statement.format(table) for table in tables)


async def _emptied(connection: Connection) -> list[str]:
    """All tables but those in which migrations left rows."""
    rows = await connection.fetch(
        """
        SELECT format('%I.%I', nspname, relname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
         WHERE nspname = ANY($1::text[]) AND relkind IN ('r', 'p') AND NOT relispartition
           AND relname <> ALL(ARRAY['alembic_version', 'accounts', 'watermark', 'watermarks'])
        """,
        list(SCHEMA_OWNERS),
    )
    return [row[0] for row in rows]


# Whatever would change this account's balance is as if it had lost a race, every time.
OUT_OF_LUCK = """
CREATE FUNCTION transfer.out_of_luck() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'out of luck' USING ERRCODE = 'serialization_failure'; END $$;
CREATE TRIGGER out_of_luck BEFORE UPDATE ON transfer.accounts
   FOR EACH ROW WHEN (OLD.id = '{account}') EXECUTE FUNCTION transfer.out_of_luck();
"""
IN_LUCK_AGAIN = "DROP TRIGGER out_of_luck ON transfer.accounts; DROP FUNCTION transfer.out_of_luck();"


@asynccontextmanager
async def out_of_luck(owner: Database, account: UUID) -> AsyncIterator[None]:
    """While it lasts, each transaction that changes the balance of `account` fails as one that may be tried again."""
    async with owner.transaction() as connection:
        await connection.execute(OUT_OF_LUCK.format(account=account))
    try:
        yield
    finally:
        async with owner.transaction() as connection:
            await connection.execute(IN_LUCK_AGAIN)
