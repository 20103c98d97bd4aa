"""Indexes on tables that are written to, made beside everybody's work before the step that brings them.

A step that makes an index inside its transaction keeps all writers out while it is built: minutes, over a big book. So
it lists its indexes as `INDEXES`, name by name; here they are made CONCURRENTLY first, and the step finds them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping

import psycopg
from alembic.config import Config
from alembic.script import Script, ScriptDirectory
from psycopg import sql

# A second one who migrates must not sit in a statement meanwhile: making an index waits for all that have begun.
_LOCK = 5_846_120_903
_POLL_S = 0.2


def with_indexes(config: Config, schema: str, url: str) -> list[Script]:
    """The steps that are still to come and bring indexes, in order."""
    script = ScriptDirectory.from_config(config)
    done = _revision(url, schema)
    pending = [step for step in script.walk_revisions() if step.revision > done]
    return [step for step in reversed(pending) if indexes_of(step)]


def indexes_of(step: Script) -> Mapping[str, str]:
    """What a step makes: by the index's name the table, with its schema, and what follows."""
    found: Mapping[str, str] = getattr(step.module, "INDEXES", {})
    return found


def make_ahead(url: str, schema: str, step: Script, *, held_max_s: float) -> None:
    """Makes the indexes of `step` that are not there; one that was left half made is made anew.

    Raises:
        psycopg.errors.LockNotAvailable: a transaction that began before did not end within `held_max_s`.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET lock_timeout = {}").format(sql.Literal(f"{held_max_s:.0f}s")))
        _lock(connection)
        for name, on in indexes_of(step).items():
            for broken in _unfinished(connection, schema, name):
                connection.execute(sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(schema, broken)))
            connection.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {on}".encode())


def _lock(connection: psycopg.Connection) -> None:
    while not connection.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK]).fetchall()[0][0]:
        time.sleep(_POLL_S)


def _unfinished(connection: psycopg.Connection, schema: str, name: str) -> Iterator[str]:
    found = connection.execute(
        """
        SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
         WHERE relname = %s AND relnamespace = %s::regnamespace AND NOT indisvalid
        """,
        [name, schema],
    )
    yield from (row[0] for row in found.fetchall())


def _revision(url: str, schema: str) -> str:
    """Where the schema stands; '' before its first step. Histories are one line of numbers of one length."""
    with psycopg.connect(url) as connection:
        [(table,)] = connection.execute("SELECT to_regclass(%s)", [f"{schema}.alembic_version"]).fetchall()
        if table is None:
            return ""
        revisions = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(schema, "alembic_version"))
        return max((str(row[0]) for row in connection.execute(revisions).fetchall()), default="")
