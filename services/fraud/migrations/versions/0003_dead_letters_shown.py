"""Dead letters are counted and shown to the gateway, for its operators."""

from alembic import op

from shared.database.tables import dead_letters_v2

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(dead_letters_v2("fraud"))
