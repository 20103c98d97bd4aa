"""Migrations: each service has its own history and version table in its own schema; one command runs them all."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from alembic import command, context
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine, pool, text

from shared.settings import (
    SCHEMA_OWNERS,
    Environment,
    as_role,
    owner_postgres_url,
    postgres_url,
    role_of,
)

_ROOT = Path(__file__).resolve().parents[2]
# Shared by everyone who migrates one database: roles are per server, so two at once would collide.
_ROLES_LOCK = 5_846_120_901

SCHEMAS: Mapping[str, str] = SCHEMA_OWNERS


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
        command.upgrade(configuration(schema, environment), revision)


def ensure_roles(environment: Environment, schema: str) -> None:
    """Makes the services' roles on the server of `schema`, with the passwords that their addresses carry."""
    owner_url = owner_postgres_url(environment, schema)
    with psycopg.connect(owner_url) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ROLES_LOCK])
        for own_schema, service in SCHEMA_OWNERS.items():
            password = _password_on(environment, owner_url, own_schema, service)
            _ensure_role(connection, role_of(service), password)


def _password_on(environment: Environment, owner_url: str, schema: str, service: str) -> str:
    """The role's password: from its own address where that is given, else the derived one of this server."""
    configured = environment.get(f"REMIT_{schema.upper()}_POSTGRES_URL", "").strip()
    url = postgres_url(environment, schema) if configured else as_role(owner_url, role_of(service))
    return unquote(urlsplit(url).password or "")


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
