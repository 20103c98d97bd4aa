"""How far each service is behind the one before it, by the newest rows, and what waits for an operator."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from remit.doctor.findings import Finding, fine, wrong
from remit.doctor.sessions import Session, rows, session
from remit.invariants.book import max_lag_s
from shared.contracts.transfer import TransferSettled
from shared.database import load_queries
from shared.errors import SettingsError
from shared.ids import event_id
from shared.settings import Environment, owner_postgres_url

SQL = load_queries(__file__, "book.sql")

_SCHEMAS = ("fraud", "transfer", "ledger", "audit")
# Each is looked up by its key downstream.
_ROWS_MAX = 1_000
# A reconciler looks every minute, and may wait for a long transaction.
_STANDS_S = 600.0

Sessions = Mapping[str, Session]


async def examine(environment: Environment) -> Sequence[Finding]:
    """Nothing where a server is away or a schema is not migrated: that is told with PostgreSQL."""
    try:
        lag_s = max_lag_s(environment)
        async with AsyncExitStack() as stack:
            sessions = {
                schema: await stack.enter_async_context(session(owner_postgres_url(environment, schema)))
                for schema in _SCHEMAS
            }
            return [*await _lags(sessions, lag_s), *await _standing(sessions), *await _letters(sessions)]
    except SettingsError as error:
        return [wrong(str(error), "set it")]
    except psycopg.Error:
        return [wrong("the book could not be read", "mend what is said of PostgreSQL first")]


async def _lags(sessions: Sessions, lag_s: float) -> Sequence[Finding]:
    # What was read first is there for certain when the others are asked.
    settled = await rows(sessions["transfer"], SQL.settled, rows_max=_ROWS_MAX)
    decided = await rows(sessions["fraud"], SQL.decided, rows_max=_ROWS_MAX)
    completed = [row for row in settled if row["status"] == "completed"]
    return [
        _lag("transfer", lag_s, await _missing(sessions["transfer"], SQL.in_transfer, decided)),
        _lag("ledger", lag_s, await _missing(sessions["ledger"], SQL.in_ledger, completed)),
        _lag("audit", lag_s, await _missing(sessions["audit"], SQL.in_audit, settled, _event_of)),
    ]


def _same(key: UUID) -> UUID:
    return key


def _event_of(transfer_id: UUID) -> UUID:
    return event_id(transfer_id, TransferSettled.TYPE)


async def _missing(
    downstream: Session, statement: str, found: Sequence[DictRow], key_of: Callable[[UUID], UUID] = _same
) -> Sequence[Any]:
    """The ages, seconds, of those that downstream does not have."""
    keys = {key_of(row["id"]): row["age_s"] for row in found}
    present = {row["id"] for row in await rows(downstream, statement, ids=list(keys))}
    return [age_s for key, age_s in keys.items() if key not in present]


def _lag(service: str, lag_s: float, ages_s: Sequence[float]) -> Finding:
    late = [age_s for age_s in ages_s if age_s > lag_s]
    if late:
        return wrong(
            f"{service} lacks {len(late):,} of the newest {_ROWS_MAX:,} events, the oldest for {max(late):,.0f} s",
            f"see that a worker of {service} runs and its queue moves; then `remit repair`",
        )
    waiting = f", {len(ages_s):,} are on their way" if ages_s else ""
    return fine(f"{service} follows within {lag_s:g} s{waiting}")


async def _standing(sessions: Sessions) -> Iterable[Finding]:
    found = []
    for service, statement in (("transfer", SQL.behind_transfer), ("fraud", SQL.behind_fraud)):
        [age_s] = [row["age_s"] for row in await rows(sessions[service], statement)] or [0.0]
        if age_s > _STANDS_S:
            found.append(
                wrong(
                    f"{service}'s reconciler has not passed a row for {age_s:,.0f} s",
                    "see what is missing downstream, and whether a transaction stays open (pg_stat_activity)",
                )
            )
    return found


async def _letters(sessions: Sessions) -> Iterable[Finding]:
    found = []
    for service, connection in sessions.items():
        [row] = await rows(connection, SQL.letters.format(schema=service))
        if row["letters"]:
            found.append(
                wrong(
                    f"{row['letters']:,} dead letter(s) of {service} wait for an operator, the oldest for "
                    f"{row['age_s']:,.0f} s",
                    f"remit dead-letters list --service {service}, then replay or discard",
                )
            )
    return found or [fine("no dead letter waits for an operator")]
