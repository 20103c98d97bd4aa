"""Role x table x privilege: each service's role may do what its code does, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from deploy.local.stack import Stack
from remit.doctor.privileges import LETTERS, TABLES
from shared.settings import SCHEMA_OWNERS, role_of


def _granted(connection: psycopg.Connection) -> dict[tuple[str, str], str]:
    """(role, schema.table) -> the letters of what that role may do with the whole table."""
    roles = [role_of(service) for service in SCHEMA_OWNERS.values()]
    rows = connection.execute(
        """
        SELECT r.rolname, n.nspname || '.' || c.relname, p.privilege
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         CROSS JOIN unnest(%s::text[]) AS r (rolname) CROSS JOIN unnest(%s::text[]) AS p (privilege)
         WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
           AND has_schema_privilege(r.rolname, n.oid, 'USAGE')
           AND has_table_privilege(r.rolname, c.oid, p.privilege)
        """,
        [roles, list(LETTERS.values()), list(SCHEMA_OWNERS)],
    ).fetchall()
    letters = {name: letter for letter, name in LETTERS.items()}
    found: dict[tuple[str, str], str] = {}
    for role, table, privilege in rows:
        found[role, table] = found.get((role, table), "") + letters[privilege]
    order = "".join(LETTERS)
    return {key: "".join(sorted(value, key=order.index)) for key, value in found.items()}


def test_each_role_may_do_what_its_code_does_and_nothing_else(servers: Stack) -> None:
    """Rows of transfers, entries, verdicts and audit can be added and never changed or removed by any service."""
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        assert _granted(connection) == TABLES


@pytest.mark.parametrize("schema", SCHEMA_OWNERS)
def test_a_role_owns_nothing_and_makes_nothing(servers: Stack, schema: str) -> None:
    """An owner could drop the triggers that guard the table, or the table."""
    role = role_of(SCHEMA_OWNERS[schema])
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        [[owned]] = connection.execute(
            "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = %s", [role]
        ).fetchall()
        [[creates]] = connection.execute(
            "SELECT count(*) FROM pg_namespace WHERE nspname = ANY(%s) AND has_schema_privilege(%s, oid, 'CREATE')",
            [[*SCHEMA_OWNERS, "public"], role],
        ).fetchall()
    assert (owned, creates) == (0, 0)


@pytest.mark.parametrize("column", ["is_deleted", "deleted_at", "status", "amount_minor", "debit_seq"])
def test_of_a_transfers_row_only_what_hides_it_may_change(servers: Stack, column: str) -> None:
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        [[may]] = connection.execute(
            "SELECT has_column_privilege('remit_transfer', 'transfer.transactions', %s, 'UPDATE')", [column]
        ).fetchall()
    assert may == (column in {"is_deleted", "deleted_at"})
