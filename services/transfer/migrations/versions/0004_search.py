"""Operators find transfers and accounts among all of them, newest first."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Made beside the writers' work, ahead of this step.
INDEXES = {
    # Rows come in order of time, so that this one is appended to at its end. Its condition always holds, and keeps it
    # to the statements that repeat it: for a user's own list it would look cheap, and go through all others'.
    "transactions_by_time": "transfer.transactions (created_at, id) WHERE amount_minor > 0",
    "transactions_by_key": "transfer.transactions (idempotency_key, created_at, id) WHERE idempotency_key IS NOT NULL",
    # Rare beside completed ones, and next to nothing to keep.
    "transactions_refused": "transfer.transactions (status, created_at, id) WHERE status <> 'completed'",
    "transactions_refused_by_destination": (
        "transfer.transactions (to_account_id, created_at, id) WHERE status <> 'completed'"
    ),
    "accounts_by_time": "transfer.accounts (created_at, id) WHERE owner_id IS NOT NULL",
    "accounts_by_currency": "transfer.accounts (currency, created_at, id) WHERE owner_id IS NOT NULL",
}


def upgrade() -> None:
    for name, on in INDEXES.items():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON {on}")
