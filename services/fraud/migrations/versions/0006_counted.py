"""What counts against users' limits is shown to the gateway, for operators who ask how much of them is used."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The columns of `decisions_counted` and no others, so that a user's windows are answered from that index alone.
    op.execute(
        """
        CREATE VIEW fraud.counted AS
            SELECT user_id, decided_at, currency, amount_minor, released_at FROM fraud.decisions WHERE counted;
        GRANT SELECT ON fraud.counted TO remit_gateway;
        """
    )
