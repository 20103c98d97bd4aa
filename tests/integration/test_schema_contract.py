"""The tables that SQL outside Remit may rely on, as the migrations leave them: columns, types, lists of values."""

from __future__ import annotations

import re
from collections.abc import Mapping

import psycopg
import pytest

from deploy.local.stack import Stack

_TIME = "timestamp with time zone"
_DELETION = {"is_deleted": "boolean", "deleted_at": f"{_TIME}?"}
# Of each table the columns that are promised, with their types; a question mark where they may be NULL.
_TABLES: Mapping[str, Mapping[str, str]] = {
    "identity.users": {
        "id": "uuid", "email": "text?", "full_name": "text", "password_hash": "text?", "role": "text",
        "is_active": "boolean", "created_at": _TIME, "updated_at": _TIME,
    },
    "transfer.accounts": {
        "id": "uuid", "owner_id": "uuid?", "name": "text", "currency": "character(3)", "kind": "text",
        "balance_minor": "bigint", "account_seq": "bigint", "version": "integer", "created_at": _TIME,
        "updated_at": _TIME, **_DELETION,
    },
    "transfer.transactions": {
        "id": "uuid", "fingerprint": "text", "kind": "text", "caller_id": "uuid", "owner_id": "uuid",
        "from_account_id": "uuid", "to_account_id": "uuid", "amount_minor": "bigint", "currency": "character(3)",
        "description": "text?", "metadata": "json?", "idempotency_key": "text?", "status": "text",
        "failure_reason": "text?", "retry_count": "integer", "reasons": "json?", "limits_version": "text",
        "debit_seq": "bigint?", "debit_balance_before_minor": "bigint?", "debit_balance_after_minor": "bigint?",
        "credit_seq": "bigint?", "credit_balance_before_minor": "bigint?", "credit_balance_after_minor": "bigint?",
        "seen_balance_minor": "bigint?", "seen_account_seq": "bigint?", "created_at": _TIME, "settled_at": _TIME,
        "updated_at": _TIME, **_DELETION,
    },
    "transfer.commands": {"command_id": "uuid", "fingerprint": "text", "outcome": "json", "created_at": _TIME},
    "fraud.decisions": {
        "transfer_id": "uuid", "fingerprint": "text", "user_id": "uuid", "verdict": "text", "policy": "text",
        "reasons": "json", "limits_version": "text", "amount_minor": "bigint", "currency": "character(3)",
        "counted": "boolean", "decided_at": _TIME, "released_at": f"{_TIME}?",
    },
    "ledger.ledger_entries": {
        "id": "uuid", "transfer_id": "uuid", "account_id": "uuid", "account_seq": "bigint", "direction": "text",
        "amount_minor": "bigint", "currency": "text", "balance_before_minor": "bigint",
        "balance_after_minor": "bigint", "created_at": _TIME,
    },
    "audit.audit_logs": {
        "user_id": "uuid?", "action": "text", "resource_type": "text", "resource_id": "text?", "status": "text",
        "ip_address": "text?", "user_agent": "text?", "request_id": "text", "details": "jsonb",
        "error_message": "text?", "occurred_at": _TIME, "recorded_at": _TIME, "seq": "bigint", "hash": "bytea",
    },
}  # fmt: skip

# All values that a column takes, by the database's own word.
_VALUES: Mapping[str, set[str]] = {
    "transfer.transactions.status": {"completed", "failed", "blocked"},
    "transfer.transactions.kind": {"transfer", "deposit", "withdrawal"},
    "transfer.accounts.kind": {"customer", "settlement"},
    "fraud.decisions.verdict": {"approved", "blocked"},
    "fraud.decisions.policy": {"user", "operator"},
    "ledger.ledger_entries.direction": {"debit", "credit"},
    "identity.users.role": {"customer", "admin"},
    "audit.audit_logs.status": {"success", "failed", "blocked"},
    "audit.audit_logs.resource_type": {"user", "account", "transaction", "audit_log", "dead_letter"},
    "audit.audit_logs.action": {
        "CREATE", "UPDATE", "DELETE", "RESTORE", "TRANSFER", "LOGIN", "LOGOUT", "FRAUD_CHECK", "ACCOUNT_ACCESS",
        "ADMIN",
    },
}  # fmt: skip


def _columns(servers: Stack, table: str) -> dict[str, str]:
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        rows = connection.execute(
            """
            SELECT attname, format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN '' ELSE '?' END
              FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped
            """,
            [table],
        ).fetchall()
    return {str(name): str(kind) for name, kind in rows}


@pytest.mark.parametrize("table", _TABLES)
def test_a_table_has_the_columns_that_are_promised(servers: Stack, table: str) -> None:
    found = _columns(servers, table)
    assert {name: found.get(name) for name in _TABLES[table]} == _TABLES[table]


@pytest.mark.parametrize("table", _TABLES)
def test_every_amount_is_a_bigint_beside_its_currency(servers: Stack, table: str) -> None:
    """Minor units, whole; no column of any table holds money in another way."""
    found = _columns(servers, table)
    amounts = {name: kind for name, kind in found.items() if re.search("amount|balance|minor", name)}
    assert {kind.rstrip("?") for kind in amounts.values()} <= {"bigint"}
    assert all(name.endswith("_minor") for name in amounts)
    assert not amounts or "currency" in found
    inexact = ("numeric", "real", "double precision", "money")
    assert [name for name, kind in found.items() if kind.startswith(inexact)] == []


@pytest.mark.parametrize("column", _VALUES)
def test_a_column_of_names_takes_these_and_no_others(servers: Stack, column: str) -> None:
    table, _, name = column.rpartition(".")
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        rows = connection.execute(
            """
            SELECT pg_get_constraintdef(oid) FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid
             WHERE contype = 'c' AND conrelid = %s::regclass AND attname = %s AND conkey = ARRAY[attnum]
            """,
            [table, name],
        ).fetchall()
    [definition] = [str(row[0]) for row in rows]
    assert set(re.findall(r"'([^']+)'", definition)) == _VALUES[column]


def test_a_statement_that_breaks_a_list_of_values_is_refused(servers: Stack) -> None:
    """The lists above are constraints that hold, not remarks: all of them are enforced for rows that exist, too."""
    with psycopg.connect(servers.env["REMIT_POSTGRES_URL"]) as connection:
        [[unproved]] = connection.execute(
            """
            SELECT count(*) FROM pg_constraint JOIN pg_namespace ON pg_namespace.oid = connamespace
             WHERE nspname = ANY(%s) AND contype IN ('c', 'f') AND NOT convalidated
            """,
            [["identity", "fraud", "transfer", "ledger", "audit"]],
        ).fetchall()
        with pytest.raises(psycopg.errors.CheckViolation, match="account_kind"):
            connection.execute(
                "UPDATE transfer.accounts SET kind = 'Settlement' WHERE id = (SELECT min(id::text)::uuid"
                " FROM transfer.accounts)"
            )
    assert unproved == 0
