"""Running processes say how they are, for operators who ask where transfers are."""

from alembic import op

from shared.database.tables import instances_v1

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(instances_v1("transfer", "remit_transfer"))
    # In the order of transactions, of which there is an index: how far others are behind is found without counting.
    op.execute(
        """
        CREATE VIEW transfer.settlements AS SELECT xid, id, status, settled_at FROM transfer.transactions;
        GRANT SELECT ON transfer.settlements TO remit_gateway;
        """
    )
