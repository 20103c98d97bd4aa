"""What each service's role may do in PostgreSQL: exactly what migrations grant, and the one place that lists it."""

from __future__ import annotations

from collections.abc import Mapping

from shared.settings import SCHEMA_OWNERS, role_of

# A letter a privilege, in this order.
LETTERS: Mapping[str, str] = {
    "S": "SELECT",
    "I": "INSERT",
    "U": "UPDATE",
    "D": "DELETE",
    "T": "TRUNCATE",
    "R": "REFERENCES",
    "G": "TRIGGER",
}

_REPORTING = {"instances": "SIUD"}
_MESSAGING = {"attempts": "SIUD", "dead_letters": "SIU", "probes": "SIU", **_REPORTING}
_OWN: Mapping[str, Mapping[str, str]] = {
    "identity": {"users": "SIU", "revoked_tokens": "SID", "outbox": "SID", **_REPORTING},
    "fraud": {"users": "SIU", "windows": "SIUD", "decisions": "SI", "batches": "SI", "watermark": "SU", **_MESSAGING},
    "transfer": {"accounts": "SIU", "transactions": "SI", "commands": "SI", "watermarks": "SU", **_MESSAGING},
    "ledger": {"ledger_entries": "SI", **_MESSAGING},
    "audit": {"audit_logs": "SI", "event_ids": "SI", "checkpoints": "SI", **_MESSAGING},
}
_READ: Mapping[str, tuple[str, ...]] = {
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
        "transfer.settlements",
        "fraud.decision_times",
        "fraud.counted",
        *(f"{schema}.instances_all" for schema in SCHEMA_OWNERS),
        *(f"{schema}.dead_letters_all" for schema in ("fraud", "transfer", "ledger", "audit")),
    ),
    "fraud": ("transfer.transaction_ids", "audit.recorded_events"),
    "transfer": ("ledger.entry_positions", "audit.recorded_events", "fraud.released"),
}

# (role, schema.table) -> the letters of what it may do with the whole table.
TABLES: Mapping[tuple[str, str], str] = {
    **{
        (role_of(SCHEMA_OWNERS[schema]), f"{schema}.{table}"): letters
        for schema, tables in _OWN.items()
        for table, letters in tables.items()
    },
    **{(role_of(service), view): "S" for service, views in _READ.items() for view in views},
}
# (role, schema.table) -> the columns that it may change, and no others. Of a row that is final, what hides it from
# lists; of a verdict, when what it held was released.
COLUMNS: Mapping[tuple[str, str], frozenset[str]] = {
    ("remit_transfer", "transfer.transactions"): frozenset({"is_deleted", "deleted_at"}),
    ("remit_fraud", "fraud.decisions"): frozenset({"released_at"}),
}
