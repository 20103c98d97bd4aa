"""PostgreSQL: pools, nesting transactions, named statements, the class of each error, migrations."""

from shared.database.errors import (
    constraint_of,
    is_data_error,
    is_lock_held,
    is_transient,
    is_unique_violation,
    passing_named,
)
from shared.database.pool import WORKER_IDLE_MAX_S, Connection, Database, Row, open_database
from shared.database.queries import Queries, load_queries

__all__ = [
    "WORKER_IDLE_MAX_S",
    "Connection",
    "Database",
    "Queries",
    "Row",
    "constraint_of",
    "is_data_error",
    "is_lock_held",
    "is_transient",
    "is_unique_violation",
    "load_queries",
    "open_database",
    "passing_named",
]
