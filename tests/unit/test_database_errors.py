"""What an error of the database or its driver means for the batch that met it."""

from __future__ import annotations

import asyncpg
import pytest

from shared.database import is_transient

_PASSING = {
    "a lost connection": asyncpg.ConnectionDoesNotExistError("gone"),
    "a session that was ended": asyncpg.AdminShutdownError("terminated by an administrator"),
    "a driver that lost count of what an ended session said": asyncpg.InternalClientError("unexpected state"),
    "a protocol that broke off": asyncpg.ProtocolError("unexpected message"),
    "a connection lost under the driver": asyncpg.InterfaceError("connection is closed"),
    "a server error without a state": asyncpg.PostgresError("?"),
    "a deadlock": asyncpg.DeadlockDetectedError("deadlock"),
    "a key that another worker took first": asyncpg.UniqueViolationError("taken"),
    "a refused connection": ConnectionRefusedError(),
    "a time-out": TimeoutError(),
}
_LASTING = {
    "data that a check refuses": asyncpg.CheckViolationError("refused"),
    "a value out of range": asyncpg.NumericValueOutOfRangeError("too large"),
    "an argument of a wrong type": asyncpg.DataError("expected str"),
    "a table that is not there": asyncpg.UndefinedTableError("missing"),
    "an error of ours": KeyError("x"),
}


@pytest.mark.parametrize("error", _PASSING.values(), ids=_PASSING)
def test_a_batch_is_tried_again_after(error: Exception) -> None:
    """The server's trouble, or another worker's luck, is no fault of the batch."""
    assert is_transient(error)


@pytest.mark.parametrize("error", _LASTING.values(), ids=_LASTING)
def test_a_batch_is_not_tried_again_as_it_is_after(error: Exception) -> None:
    """The same would be refused again."""
    assert not is_transient(error)
