"""`remit migrate`: roles, schemas and the broker's definitions, all the way up; running it again changes nothing."""

from __future__ import annotations

import argparse
import asyncio
import time
from urllib.parse import urlsplit

import httpx
import psycopg
from psycopg import sql

from remit.commands.definitions import administrator, broker_definitions
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_OK, EXIT_UNAVAILABLE, CommandError
from shared.database.migrations import SCHEMAS, upgrade_all
from shared.settings import Environment, address_if_set, owner_postgres_url

_CONNECT_TIMEOUT_S = 3
_POLL_EVERY_S = 0.3
_BROKER_TIMEOUT_S = 15.0
# A wrong password or database stays wrong, however long one waits (SQLSTATE classes 28 and 3D).
_HOPELESS = ("28", "3D")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit migrate` takes."""
    parser.add_argument(
        "--wait-s", type=float, default=30.0, help="how long to wait for each server (default %(default)s)"
    )


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Migrates every schema, sends the definitions, and prints the revisions."""
    environment, out = settings.environment, console()
    management, amqp = (address_if_set(environment, f"REMIT_AMQP_{name}URL") for name in ("MANAGEMENT_", ""))
    for url in sorted({owner_postgres_url(environment, schema) for schema in SCHEMAS}):
        await asyncio.to_thread(_wait_for_postgres, url, arguments.wait_s)
    await asyncio.to_thread(upgrade_all, environment)
    rows = table("schema", "revision")
    for schema in SCHEMAS:
        rows.add_row(schema, await asyncio.to_thread(_revision, owner_postgres_url(environment, schema), schema))
    out.print(rows)
    if management and amqp:
        await _send_definitions(management, environment, arguments.wait_s)
        out.print("broker: definitions sent (users, permissions, exchanges, queues, bindings)")
    else:
        out.print("broker: definitions not sent; REMIT_AMQP_URL and REMIT_AMQP_MANAGEMENT_URL are not both set")
    return EXIT_OK


def _wait_for_postgres(url: str, wait_s: float) -> None:
    deadline_s = time.monotonic() + wait_s
    while True:
        try:
            psycopg.connect(url, connect_timeout=_CONNECT_TIMEOUT_S).close()
        except psycopg.OperationalError as error:
            if (error.sqlstate or "").startswith(_HOPELESS) or time.monotonic() > deadline_s:
                # The address holds a password: only its host is repeated.
                where = urlsplit(url).hostname
                raise CommandError(
                    f"PostgreSQL at {where}: {str(error).strip().splitlines()[0]}", EXIT_UNAVAILABLE
                ) from None
            time.sleep(_POLL_EVERY_S)
        else:
            return


def _revision(url: str, schema: str) -> str:
    statement = sql.SQL("SELECT version_num FROM {}.alembic_version").format(sql.Identifier(schema))
    with psycopg.connect(url) as connection:
        return ", ".join(sorted(str(row[0]) for row in connection.execute(statement))) or "none"


async def _send_definitions(management_url: str, environment: Environment, wait_s: float) -> None:
    """Sends the same definitions that the broker loads at boot, so that one that was wiped comes back whole."""
    body, who = broker_definitions(environment), administrator(environment)
    deadline_s = time.monotonic() + wait_s
    async with httpx.AsyncClient(auth=(who.name, who.password), timeout=_BROKER_TIMEOUT_S) as http:
        while True:
            trouble = await _post(http, f"{without_user(management_url)}/api/definitions", body)
            if not trouble:
                return
            if time.monotonic() > deadline_s:
                raise CommandError(f"the broker did not take its definitions: {trouble}", EXIT_UNAVAILABLE)
            await asyncio.sleep(_POLL_EVERY_S)


async def _post(http: httpx.AsyncClient, url: str, body: dict[str, object]) -> str:
    """What was in the way, or an empty string."""
    try:
        answer = await http.post(url, json=body)
    except httpx.TransportError as error:
        return type(error).__name__
    if answer.status_code in {400, 401, 403}:
        raise CommandError(f"the broker refused its definitions: {answer.status_code} {answer.text[:200]}")
    return "" if answer.is_success else f"status {answer.status_code}"


def without_user(url: str) -> str:
    """An address without user and password, for a client that is told them apart."""
    parts = urlsplit(url.rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
