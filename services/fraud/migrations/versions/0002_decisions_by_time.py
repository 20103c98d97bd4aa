"""Statistics of a range of days read that range alone."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Rows come in order of time, so a summary of each few pages finds a range, and costs an insert next to nothing.
    op.execute(
        """
        CREATE INDEX decisions_by_time ON fraud.decisions
            USING brin (decided_at) WITH (pages_per_range = 32, autosummarize = on);
        """
    )
