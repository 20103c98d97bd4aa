"""Reads of fraud's decisions, summed up where they are."""

from __future__ import annotations

from datetime import datetime

from services.gateway.domain.fraud_stats import Checks, FraudStats, fraud_stats
from shared.database import Database, load_queries

STATS_SQL = load_queries(__file__, "fraud_stats.sql")


class FraudStatsReads:
    """Reads of the view `fraud.decisions_all`."""

    def __init__(self, fraud: Database) -> None:
        self._fraud = fraud

    async def of(self, start: datetime | None, end: datetime | None) -> FraudStats:
        """Of the decisions from `start` (inclusive) to `end` (exclusive)."""
        rows = await self._fraud.fetch(STATS_SQL.fraud_stats, start, end)
        checks = [
            Checks(
                day=row["day"],
                verdict=row["verdict"],
                currency=row["currency"],
                checks=row["checks"],
                # A sum of bigints comes as numeric.
                amount_minor=int(row["amount_minor"]),
            )
            for row in rows
            if row["code"] is None
        ]
        return fraud_stats(checks, {row["code"]: row["checks"] for row in rows if row["code"] is not None})
