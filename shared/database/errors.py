"""What a database error means for the batch that met it. The states are PostgreSQL's, appendix A of its manual."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from shared.errors import TransientError

_TRANSIENT_CLASSES = ("08", "53", "58", "57P0")
_TRANSIENT_STATES = frozenset(
    {
        "40001",  # serialization_failure
        "40P01",  # deadlock_detected
        "55P03",  # lock_not_available
        "57014",  # query_canceled
        "25006",  # read_only_sql_transaction
        "25P03",  # idle_in_transaction_session_timeout
        "23505",  # unique_violation: another worker was first; the next attempt sees its row
        "23503",  # foreign_key_violation: likewise
    }
)


class NotNow(TransientError):
    """The database could not do this now; the same may succeed later."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__(repr(cause))
        self.sqlstate = sqlstate_of(cause)


def sqlstate_of(error: BaseException) -> str:
    """The SQLSTATE of a database error, or an empty string."""
    return str(getattr(error, "sqlstate", None) or "")


def is_transient(error: BaseException) -> bool:
    """Whether the whole batch may simply be tried again. A driver error without a state counts as a lost server."""
    if isinstance(error, TransientError | OSError | TimeoutError | asyncio.TimeoutError):
        return True
    if isinstance(error, asyncpg.PostgresError):
        state = sqlstate_of(error)
        return not state or state in _TRANSIENT_STATES or state.startswith(_TRANSIENT_CLASSES)
    if isinstance(error, asyncpg.InternalClientError):
        # The driver lost count of what the server said: a session that was ended between two messages.
        return True
    # InterfaceError covers both a connection lost under us and wrong arguments; only the latter is also a ValueError.
    return isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)


@asynccontextmanager
async def passing_named() -> AsyncIterator[None]:
    """Whatever passes leaves here as a `TransientError`, for callers who let nothing else go by."""
    try:
        yield
    except Exception as error:
        if is_transient(error) and not isinstance(error, TransientError):
            raise NotNow(error) from error
        raise


def is_lock_held(error: BaseException) -> bool:
    """Whether another session kept a lock for longer than `lock_timeout` (lock_not_available)."""
    return sqlstate_of(error) == "55P03"


def is_out_of_step(error: BaseException) -> bool:
    """Whether the database lacks a table, column or privilege that this release needs (classes 42 and 3F).

    That is a deployment half done, not a fault of what is being written: it is waited for, never failed.
    """
    return sqlstate_of(error).startswith(("42", "3F"))


def is_unique_violation(error: BaseException) -> bool:
    """Whether a key was taken."""
    return sqlstate_of(error) == "23505"


def is_data_error(error: BaseException) -> bool:
    """Whether the data themselves were refused (classes 22 and 23)."""
    return sqlstate_of(error)[:2] in {"22", "23"}


def constraint_of(error: BaseException) -> str:
    """The name of the constraint that refused, or an empty string."""
    return str(getattr(error, "constraint_name", None) or "")
