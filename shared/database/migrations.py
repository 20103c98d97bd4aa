"""Migrations: each service has its own history and version table in its own schema; one command runs them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from alembic import command, context
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine, pool, text
from sqlalchemy.exc import OperationalError
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from shared.addresses import hosts_of
from shared.database.ahead import make_ahead, with_indexes
from shared.errors import Unavailable
from shared.settings import (
    SCHEMA_OWNERS,
    Environment,
    address,
    as_role,
    owner_postgres_url,
    role_of,
)

_ROOT = Path(__file__).resolve().parents[2]
# Shared by everyone who migrates one database: roles are per server, so two at once would collide.
_ROLES_LOCK = 5_846_120_901
_POSTGRES_PORT = 5432

# A statement that waits for a table stands before all who come later, so it soon makes way, and comes again.
_LOCK_TIMEOUT_MS = 250
_PAUSE_S = 1.0
_HELD_MAX_S = 60.0

SCHEMAS: Mapping[str, str] = SCHEMA_OWNERS


class TableHeld(Unavailable):
    """A migration did not get a table to itself."""


def locations(schema: str) -> Path:
    """The folder that holds the migrations of `schema`."""
    return _ROOT / "services" / SCHEMA_OWNERS[schema] / "migrations"


def configuration(schema: str, environment: Environment) -> Config:
    """Alembic's configuration for one schema; the address is passed beside it, never written into it."""
    config = Config()
    config.set_main_option("script_location", str(locations(schema)).replace("%", "%%"))
    config.attributes["schema"] = schema
    config.attributes["url"] = owner_postgres_url(environment, schema)
    return config


def upgrade_all(environment: Environment, revision: str = "head") -> None:
    """Roles first, then every schema up to `revision`."""
    for schema in SCHEMAS:
        ensure_roles(environment, schema)
    for schema in SCHEMAS:
        _upgrade(schema, environment, revision)


def _upgrade(schema: str, environment: Environment, revision: str) -> None:
    """One schema, in one transaction but where a step brings indexes.

    Raises:
        TableHeld: somebody held a table all the time.
    """
    config = configuration(schema, environment)
    url = str(config.attributes["url"])
    for step in with_indexes(config, schema, url):
        if revision == "head" or step.revision <= revision:
            _patiently(schema, command.upgrade, config, str(step.down_revision))
            _patiently(schema, make_ahead, url, schema, step, held_max_s=_HELD_MAX_S)
    _patiently(schema, command.upgrade, config, revision)


def _patiently(schema: str, work: Callable[..., None], *arguments: object, **named: object) -> None:
    """As often as it takes until nobody holds a table that has to change."""
    patient = Retrying(
        retry=retry_if_exception(_is_held),
        stop=stop_after_delay(_HELD_MAX_S),
        wait=wait_fixed(_PAUSE_S),
        reraise=True,
    )
    try:
        patient(work, *arguments, **named)
    except (OperationalError, psycopg.errors.LockNotAvailable) as error:
        if not _is_held(error):
            raise
        raise TableHeld(
            f"a table of {schema} is held for {_HELD_MAX_S:.0f} s by a transaction that does not end: "
            "see pg_stat_activity, then migrate again"
        ) from error


def _is_held(error: BaseException) -> bool:
    cause = error.orig if isinstance(error, OperationalError) else error
    return isinstance(cause, psycopg.errors.LockNotAvailable)


def ensure_roles(environment: Environment, schema: str) -> None:
    """Makes the services' roles on the server of `schema`, with the passwords that their addresses carry."""
    owner_url = owner_postgres_url(environment, schema)
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ROLES_LOCK])
        for own_schema, service in SCHEMA_OWNERS.items():
            password = _password_on(environment, owner_url, own_schema, service)
            _ensure_role(connection, role_of(service), password)


def _password_on(environment: Environment, owner_url: str, own_schema: str, service: str) -> str:
    """The role's password on this server: the one of the address by which the service comes here.

    That is its own address if its schema is here; else one by which it reads a schema that is here; else, whether it
    comes here or not, the one that derives.
    """
    here = [schema for schema in SCHEMAS if _server(owner_postgres_url(environment, schema)) == _server(owner_url)]
    reads = [f"REMIT_{service.upper()}_READS_{schema.upper()}_POSTGRES_URL" for schema in here]
    own = f"REMIT_{own_schema.upper()}_POSTGRES_URL"
    names = [own, *reads] if own_schema in here else [*reads, "REMIT_POSTGRES_URL", own]
    given = next((name for name in names if environment.get(name, "").strip()), None)
    if given is None or given == "REMIT_POSTGRES_URL":
        url = as_role(owner_url if given is None else address(environment, given), role_of(service))
    else:
        url = address(environment, given)
    return unquote(urlsplit(url).password or "")


def _server(url: str) -> Sequence[tuple[str, int]]:
    return [(host, port or _POSTGRES_PORT) for host, port in hosts_of(url)]


def _ensure_role(connection: psycopg.Connection, role: str, password: str) -> None:
    name = sql.Identifier(role)
    found = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}") if found else sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
    connection.execute(verb.format(name, sql.Literal(password)))


def run_environment() -> None:
    """What each service's `migrations/env.py` calls."""
    attributes = context.config.attributes
    # `alembic -n transfer …` comes with the schema's name alone.
    schema = str(attributes.get("schema") or context.config.get_main_option("schema"))
    url = str(attributes.get("url") or owner_postgres_url(os.environ, schema))
    engine = create_engine(_sqlalchemy_url(url), poolclass=pool.NullPool)
    with engine.begin() as connection:
        # Two that migrate at once: the second waits here, and then finds nothing left to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ROLES_LOCK + 1})
        # From here on: whoever waits for a table makes all others wait behind it.
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT_MS}ms'"))
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {schema}"))
        connection.execute(text(f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC"))
        context.configure(
            connection=connection,
            version_table="alembic_version",
            version_table_schema=schema,
        )
        with context.begin_transaction():
            context.run_migrations()
    engine.dispose()


def _sqlalchemy_url(url: str) -> str:
    return "postgresql+psycopg://" + url.split("://", 1)[1]


if __name__ == "__main__":
    upgrade_all(os.environ)
