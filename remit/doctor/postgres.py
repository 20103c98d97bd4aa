"""PostgreSQL: each server that the settings name, its durability, its schemas, and what each role may do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import psycopg
from psycopg.rows import DictRow

from deploy.local.services import READS
from remit.doctor import clocks, schemas
from remit.doctor.findings import Finding, fine, first_line, noted, wrong
from remit.doctor.secrecy import place_of, user_of
from remit.doctor.sessions import rows, session, timed_row
from shared.database import load_queries
from shared.errors import SettingsError
from shared.settings import SCHEMA_OWNERS, Environment, owner_postgres_url, postgres_url, reads_postgres_url

SQL = load_queries(__file__, "postgres.sql")

VERSION_LEAST = 15
# What one process of each service may hold: pools of the gateway for five schemas and its verifier, the workers' own
# and those of their reconcilers.
_NEEDED = 50
_SHARE_NOTED = 0.8
# Before so much has been written, nothing can be said of how.
_WAL_BYTES_LEAST = 4e9
_AWAY = " does not answer: "
# What is lost where a switch is off.
_SWITCHES: Mapping[str, str] = {
    "fsync": "a crash of the machine may lose or break everything",
    "synchronous_commit": "a crash loses transfers that clients were told have ended",
    "full_page_writes": "a crash of the machine may leave torn pages",
}
# ALTER ROLE … SET, for all databases or for one.
_OF_ROLES = frozenset({"user", "database user"})


async def examine(environment: Environment) -> Sequence[Finding]:
    """Each server once, as the owner, and each role's own login."""
    looks = [_server(url, owned, environment) for url, owned in _owners(environment).items()]
    looks += [_login(url) for url in _logins(environment)]
    said: dict[str, Finding] = {}
    for finding in (finding for found in await asyncio.gather(*looks) for finding in found):
        # A server that is away is said once, whoever asked it and however it failed them.
        said.setdefault(finding.says.partition(_AWAY)[0], finding)
    return list(said.values())


def _owners(environment: Environment) -> Mapping[str, Sequence[str]]:
    """The owner's address of each server, and the schemas there; a schema without one is told with the settings."""
    found: dict[str, list[str]] = {}
    for schema in SCHEMA_OWNERS:
        try:
            found.setdefault(owner_postgres_url(environment, schema), []).append(schema)
        except SettingsError:
            continue
    return found


async def _server(url: str, owned: Sequence[str], environment: Environment) -> Sequence[Finding]:
    where = place_of(url)
    try:
        async with session(url) as connection:
            about, own_s = await timed_row(connection, SQL.server)
            found = [*_version(where, about), *clocks.compared(f"PostgreSQL at {where}", about["now_s"], own_s)]
            found += _durability(f"at {where}", await rows(connection, SQL.switches))
            found += [*_room(about), *_spare(where, about), *whole_pages(where, about)]
            return [*found, *await schemas.examine(connection, owned, environment)]
    except psycopg.Error as error:
        return [_unreachable(where, user_of(url), error)]


def _unreachable(where: str, user: str, error: psycopg.Error) -> Finding:
    if isinstance(error, psycopg.errors.QueryCanceled):
        return wrong(f"PostgreSQL at {where} does not answer {user} in time", "see what keeps it busy")
    if "FATAL" not in str(error):
        says = f"PostgreSQL at {where}{_AWAY}{first_line(error)}"
        return wrong(says, "see that it runs, and that the address is right")
    says = f"PostgreSQL at {where} does not let {user} in: {first_line(error)}"
    if "password authentication" in str(error):
        return wrong(
            says, "`remit migrate` gives each service's role the password of its address; the owner's is yours"
        )
    return wrong(says, "see that it is up, that the database is named right, and that pg_hba.conf lets us in")


def _version(where: str, about: DictRow) -> Iterator[Finding]:
    major = about["version"] // 10_000
    if major < VERSION_LEAST:
        yield wrong(f"PostgreSQL at {where} is version {major}", f"upgrade it to {VERSION_LEAST} or newer")
    else:
        yield fine(f"PostgreSQL {major} answers at {where}")
    if about["is_standby"]:
        yield wrong(f"PostgreSQL at {where} is a standby: nothing can be written there", "name the primary")
    if about["is_superuser"]:
        yield noted("the owner is a superuser, whom no privilege stops", "a role with CREATEROLE is enough")


def _durability(where: str, switches: Sequence[DictRow]) -> Iterator[Finding]:
    values = {row["name"]: row["setting"] for row in switches}
    off = [name for name in _SWITCHES if values.get(name) == "off"]
    for name in off:
        yield wrong(f"{name} is off {where}: {_SWITCHES[name]}", f"set {name} = on")
    if not off:
        yield fine(f"what is committed {where} is on disk ({', '.join(_SWITCHES)} are on)")
    if values.get("autovacuum") == "off":
        yield wrong(f"autovacuum is off {where}: tables and indexes grow without end", "set autovacuum = on")


def _room(about: DictRow) -> Iterator[Finding]:
    used, places = about["connections"], about["places"]
    if places < _NEEDED:
        yield wrong(
            f"max_connections leaves {places} connections, and one process of each service needs {_NEEDED}",
            f"raise max_connections by {_NEEDED} a set of services, or put a pooler in front",
        )
    elif used > places * _SHARE_NOTED:
        yield noted(f"{used} of {places} connections are taken", "raise max_connections before more workers start")
    else:
        yield fine(f"{used} of {places} connections are taken")


def _spare(where: str, about: DictRow) -> Iterator[Finding]:
    """What fills its disk, and what there is should it be lost. How much of the disk is free it cannot say."""
    if about["archiving_fails"]:
        yield wrong(
            f"the newest WAL of {where} could not be archived, and is kept: the disk fills",
            "see the server's log for what archive_command says",
        )
    if about["idle_slots"]:
        yield wrong(
            f"{about['idle_slots']} replication slot(s) of {where} have no reader, and WAL is kept for them",
            "start the standby again, or drop the slot (pg_drop_replication_slot)",
        )
    if about["prepared"]:
        yield wrong(
            f"{about['prepared']} prepared transaction(s) stand open at {where}: vacuum and reconcilers wait for them",
            "ROLLBACK PREPARED what nobody waits for (pg_prepared_xacts)",
        )
    megabytes = about["database_bytes"] / 1e6
    yield fine(f"the database at {where} holds {megabytes:,.0f} MB; keep as much again free beside its WAL")
    if not about["has_standby"]:
        yield noted(f"no standby has to hold what is committed at {where}: if its disk is lost, so is the book")
    if not about["archives"]:
        yield noted(f"{where} archives no WAL: a backup can be restored to its own end only", "see docs/operations.md")


def whole_pages(where: str, about: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether checkpoints come so often that most of the WAL is pages written whole, the first time after each.

    The server counts pages; what of each was free is left out of the WAL, so this is the most that they can be.
    """
    written, pages = about["wal_bytes"], about["whole_pages_bytes"]
    if written >= _WAL_BYTES_LEAST and pages > written / 2:
        yield noted(
            f"up to {min(pages / written, 1):.0%} of the WAL of {where} is pages written whole after checkpoints",
            f"raise max_wal_size (it is {about['max_wal_size']}; 8GB) and checkpoint_timeout "
            f"(it is {about['checkpoint_timeout']}; 15min), and see that shared_buffers hold the indexes",
        )


def _logins(environment: Environment) -> Sequence[str]:
    """Every address under which a service meets PostgreSQL."""
    asked = [partial(postgres_url, environment, schema) for schema in SCHEMA_OWNERS]
    asked += [partial(reads_postgres_url, environment, s, schema) for s, read in READS.items() for schema in read]
    found: dict[str, None] = {}
    for address in asked:
        # One that is missing is told with the settings.
        with suppress(SettingsError):
            found[address()] = None
    return list(found)


async def _login(url: str) -> Sequence[Finding]:
    role, where = user_of(url), place_of(url)
    try:
        async with session(url) as connection:
            # What the server itself has switched off was said of the server.
            switches = [row for row in await rows(connection, SQL.switches) if row["source"] in _OF_ROLES]
    except psycopg.Error as error:
        return [_unreachable(where, role, error)]
    found = [finding for finding in _durability(f"for {role} at {where}", switches) if finding.do]
    return found or [fine(f"{role} can log in at {where}")]
