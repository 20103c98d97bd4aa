"""Role x table x privilege: each service's role may do what its code does, and nothing else."""

from __future__ import annotations

import psycopg
import pytest

from deploy.local.stack import Stack
from shared.settings import SCHEMA_OWNERS, role_of

_PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_LETTERS = dict(zip("SIUDTRG", _PRIVILEGES, strict=True))


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
        [roles, list(_PRIVILEGES), list(SCHEMA_OWNERS)],
    ).fetchall()
    letters = {name: letter for letter, name in _LETTERS.items()}
    found: dict[tuple[str, str], str] = {}
    for role, table, privilege in rows:
        found[role, table] = found.get((role, table), "") + letters[privilege]
    order = "".join(_LETTERS)
    return {key: "".join(sorted(value, key=order.index)) for key, value in found.items()}


_MESSAGING = {"attempts": "SIUD", "dead_letters": "SIU", "probes": "SIU"}
_OWN: dict[str, dict[str, str]] = {
    "identity": {"users": "SIU", "revoked_tokens": "SID", "outbox": "SID"},
    "fraud": {"users": "SIU", "decisions": "SI", "batches": "SI", "watermark": "SU", **_MESSAGING},
    "transfer": {"accounts": "SIU", "transactions": "SI", "commands": "SI", "watermarks": "SU", **_MESSAGING},
    "ledger": {"ledger_entries": "SI", **_MESSAGING},
    "audit": {"audit_logs": "SI", "event_ids": "SI", "checkpoints": "SI", **_MESSAGING},
}
_READ: dict[str, tuple[str, ...]] = {
    "gateway": (
        "fraud.decisions_all",
        "transfer.accounts_all",
        "transfer.accounts_live",
        "transfer.transactions_all",
        "transfer.transactions_live",
        "transfer.command_outcomes",
        "ledger.entries",
        "audit.logs",
        "audit.event_positions",
        "audit.chain_checkpoints",
        "audit.archived",
        *(f"{schema}.dead_letters_all" for schema in ("fraud", "transfer", "ledger", "audit")),
    ),
    "fraud": ("transfer.transaction_ids", "audit.recorded_events"),
    "transfer": ("ledger.entry_positions", "audit.recorded_events", "fraud.released"),
}


def test_each_role_may_do_what_its_code_does_and_nothing_else(servers: Stack) -> None:
    """Rows of transfers, entries, verdicts and audit can be added and never changed or removed by any service."""
    expected = {
        (role_of(SCHEMA_OWNERS[schema]), f"{schema}.{table}"): letters
        for schema, tables in _OWN.items()
        for table, letters in tables.items()
    }
    expected |= {(role_of(service), view): "S" for service, views in _READ.items() for view in views}
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        assert _granted(connection) == expected


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
