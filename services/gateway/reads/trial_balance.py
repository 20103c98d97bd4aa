"""Adding up the ledger. Every entry is read, so it is done once for all who ask, and what it came to holds for a while.

A sum kept beside the entries would be quick, and would say nothing of them.
"""

from __future__ import annotations

import asyncio
import time

from services.gateway.domain.trial_balance import Sums, TrialBalance, trial_balance
from shared.database import Database, Row, load_queries

TRIAL_SQL = load_queries(__file__, "trial_balance.sql")

# What it came to is given out for so many times as long as it took: readers who never stop cost a tenth at most.
_RESTS = 9
_SHARED_S_MIN, _SHARED_S_MAX = 1.0, 600.0
# Some hundred million entries. Beyond that the server breaks off, and the call is 503.
_TIMEOUT_S = 600


class TrialBalances:
    """Adds up the view `ledger.entries`, one reading at a time."""

    def __init__(self, ledger: Database) -> None:
        self._ledger = ledger
        self._adding: asyncio.Task[TrialBalance] | None = None
        self._begun_s = 0.0

    async def now(self) -> TrialBalance:
        """The trial balance as it was a short while ago, or as it is once it has been added up."""
        if self._adding is None or self._is_over(self._adding):
            self._begun_s = time.monotonic()
            self._adding = asyncio.create_task(self._add_up(), name="trial balance")
        return await asyncio.shield(self._adding)

    def _is_over(self, adding: asyncio.Task[TrialBalance]) -> bool:
        """Whether nobody else is to be given this one: it is old, or has failed."""
        if not adding.done():
            return False
        if adding.cancelled() or adding.exception() is not None:
            return True
        took_s = adding.result().took_s
        shared_for_s = min(max(_RESTS * took_s, _SHARED_S_MIN), _SHARED_S_MAX)
        return time.monotonic() - self._begun_s > took_s + shared_for_s

    async def drain(self) -> None:
        """Returns when nothing is in flight; a sum that nobody waits for any more is given up."""
        if self._adding is not None:
            self._adding.cancel()
            await asyncio.wait({self._adding})

    async def _add_up(self) -> TrialBalance:
        begun_s = time.monotonic()
        async with self._ledger.transaction() as connection:
            await connection.execute(f"SET LOCAL statement_timeout = '{_TIMEOUT_S}s'")
            as_of = await connection.fetchval("SELECT clock_timestamp()")
            rows = await connection.fetch(TRIAL_SQL.trial_balance, timeout=_TIMEOUT_S)
        return trial_balance([_sums(row) for row in rows], as_of=as_of, took_s=time.monotonic() - begun_s)


def _sums(row: Row) -> Sums:
    fields = {name: row[name] for name in Sums.__dataclass_fields__}
    # Sums of bigints come as numeric.
    return Sums(**{**fields, "debits_minor": int(row["debits_minor"]), "credits_minor": int(row["credits_minor"])})
