"""Running processes say how they are, for operators who ask where transfers are."""

from alembic import op

from shared.database.tables import instances_v1

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(instances_v1("fraud", "remit_fraud"))
    # In the order of transactions, of which there is an index: how far others are behind is found without counting.
    op.execute(
        """
        CREATE VIEW fraud.decision_times AS SELECT xid, place, transfer_id, decided_at FROM fraud.decisions;
        GRANT SELECT ON fraud.decision_times TO remit_gateway;
        """
    )
