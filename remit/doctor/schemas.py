"""Schemas and roles of one server: is each schema at its newest revision, and may each role do its work and no more?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import psycopg
from alembic.script import ScriptDirectory
from psycopg.rows import DictRow

from remit.doctor.findings import Finding, fine, wrong
from remit.doctor.privileges import COLUMNS, LETTERS, TABLES
from remit.doctor.sessions import Session, rows
from shared.database import load_queries
from shared.database.migrations import configuration
from shared.settings import SCHEMA_OWNERS, Environment, role_of

SQL = load_queries(__file__, "postgres.sql")

_ROLES = [role_of(service) for service in SCHEMA_OWNERS.values()]
_MIGRATE = "run `remit migrate`"


async def examine(connection: Session, owned: Sequence[str], environment: Environment) -> Sequence[Finding]:
    """The schemas that are here, and all roles as far as those concern them."""
    found: list[Finding] = []
    current = []
    for schema in owned:
        told = await _revision(connection, schema, environment)
        found.append(told)
        current += [schema] if not told.do else []
    present = await rows(connection, SQL.roles, roles=_ROLES)
    found += _roles(present)
    known = [row["role"] for row in present]
    # Of what is not migrated yet nothing more can be said.
    arguments = {"roles": known, "schemas": current, "privileges": list(LETTERS.values())}
    too_much = list(_attributes(present))
    too_much += _owning(await rows(connection, SQL.owned, **arguments))
    too_much += _tables(await rows(connection, SQL.granted, **arguments), known, current)
    too_much += _columns(await rows(connection, SQL.columns, **arguments), known, current)
    if current and not too_much:
        found.append(fine(f"each role may do its work in {', '.join(current)}, and nothing else"))
    return [*found, *too_much]


async def _revision(connection: Session, schema: str, environment: Environment) -> Finding:
    script = ScriptDirectory.from_config(configuration(schema, environment))
    head = script.get_current_head()
    statement = SQL.revision.format(schema=schema)
    try:
        async with connection.transaction():
            [row] = await rows(connection, statement)
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return wrong(f"the schema {schema} was never made", _MIGRATE)
    revisions = row["revisions"] or []
    if revisions == [head]:
        return fine(f"the schema {schema} is at its newest revision, {head}")
    known = {revision.revision for revision in script.walk_revisions()}
    if stranger := [revision for revision in revisions if revision not in known]:
        return wrong(
            f"the schema {schema} is at revision {', '.join(stranger)}, which this release does not know",
            "use the release that made it, or a newer one",
        )
    at = ", ".join(revisions) or "none"
    return wrong(f"the schema {schema} is at revision {at}, and this release needs {head}", _MIGRATE)


def _roles(present: Sequence[DictRow]) -> Iterator[Finding]:
    for role in _ROLES:
        row = next((row for row in present if row["role"] == role), None)
        if row is None:
            yield wrong(f"the role {role} does not exist", _MIGRATE)
        elif not row["can_login"]:
            yield wrong(f"the role {role} may not log in", _MIGRATE)


def _attributes(present: Sequence[DictRow]) -> Iterator[Finding]:
    for row in present:
        role = row["role"]
        for attribute in row["attributes"]:
            yield wrong(f"{role} has {attribute}, which no service needs", f"ALTER ROLE {role} NO{attribute};")
        for other in row["member_of"]:
            yield wrong(f"{role} may do whatever {other} may, as its member", f"REVOKE {other} FROM {role};")


def _owning(owned: Sequence[DictRow]) -> Iterator[Finding]:
    for row in owned:
        role, thing = row["role"], row["thing"]
        if thing.startswith("CREATE in "):
            schema = thing.removeprefix("CREATE in ")
            yield wrong(f"{role} may make tables in {schema}", f"REVOKE CREATE ON SCHEMA {schema} FROM {role}, PUBLIC;")
        else:
            yield wrong(
                f"{role} owns {thing}: it could drop it, and what guards it", f"ALTER TABLE {thing} OWNER TO remit;"
            )


def _tables(granted: Sequence[DictRow], roles: Sequence[str], schemas: Sequence[str]) -> Iterator[Finding]:
    found = {(row["role"], row["thing"]): frozenset(row["privileges"]) for row in granted}
    expected = {
        key: frozenset(LETTERS[letter] for letter in letters)
        for key, letters in TABLES.items()
        if key[0] in roles and _schema(key[1]) in schemas
    }
    yield from _differences(found, expected)


def _columns(granted: Sequence[DictRow], roles: Sequence[str], schemas: Sequence[str]) -> Iterator[Finding]:
    named = {(row["role"], row["thing"]): f"UPDATE ({', '.join(sorted(row['columns']))})" for row in granted}
    wanted = {
        key: f"UPDATE ({', '.join(sorted(columns))})"
        for key, columns in COLUMNS.items()
        if key[0] in roles and _schema(key[1]) in schemas
    }
    found = {key: frozenset({privilege}) for key, privilege in named.items()}
    yield from _differences(found, {key: frozenset({privilege}) for key, privilege in wanted.items()})


def _differences(
    found: Mapping[tuple[str, str], frozenset[str]], expected: Mapping[tuple[str, str], frozenset[str]]
) -> Iterator[Finding]:
    for role, thing in sorted(found.keys() | expected.keys()):
        has, needs = found.get((role, thing), frozenset()), expected.get((role, thing), frozenset())
        if more := ", ".join(sorted(has - needs)):
            yield wrong(
                f"{role} may {more} on {thing}, which is not its to do", f"REVOKE {more} ON {thing} FROM {role};"
            )
        if less := ", ".join(sorted(needs - has)):
            grant = f"GRANT USAGE ON SCHEMA {_schema(thing)} TO {role}; GRANT {less} ON {thing} TO {role};"
            yield wrong(f"{role} may not {less} on {thing}, and needs to", grant)


def _schema(thing: str) -> str:
    return thing.partition(".")[0]
