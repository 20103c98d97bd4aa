"""Running processes say how they are, for operators who ask where transfers are."""

from alembic import op

from shared.database.tables import instances_v1

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(instances_v1("ledger", "remit_ledger"))
