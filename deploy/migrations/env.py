"""`alembic upgrade head` from the root: hands on to the history of each service."""

import os

from alembic import context

from shared.database.migrations import upgrade_all

if context.is_offline_mode():
    raise SystemExit("run each schema on its own: alembic -n transfer upgrade head --sql")
upgrade_all(os.environ)
