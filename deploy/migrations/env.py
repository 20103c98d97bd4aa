"""`alembic upgrade head` from the root: hands on to the history of each service."""

import subprocess
import sys

from alembic import context

if context.is_offline_mode():
    raise SystemExit("run each schema on its own: alembic -n transfer upgrade head")
# A process of its own: Alembic keeps the environment that it runs in a module's globals, and cannot nest another.
sys.exit(subprocess.run([sys.executable, "-m", "shared.database.migrations"], check=False).returncode)
