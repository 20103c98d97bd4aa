"""Reads of fraud's decisions, summed up where they are."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from services.gateway.domain.fraud_stats import Checks, FraudStats, UserStats, fraud_stats
from shared.database import Database, Row, load_queries

STATS_SQL = load_queries(__file__, "fraud_stats.sql")

# A range that is no longer is told by hours, too.
HOURLY_MAX = timedelta(days=8)
USERS_MAX = 20


class FraudStatsReads:
    """Reads of the view `fraud.decisions_all`."""

    def __init__(self, fraud: Database) -> None:
        self._fraud = fraud

    async def of(self, start: datetime | None, end: datetime | None) -> FraudStats:
        """Of the decisions from `start` (inclusive) to `end` (exclusive)."""
        is_short = start is not None and (end or datetime.now(UTC)) - start <= HOURLY_MAX
        rows = await self._fraud.fetch(STATS_SQL.fraud_stats, start, end, "hour" if is_short else "day", USERS_MAX)
        checks = [
            Checks(
                at=row["at"],
                verdict=row["verdict"],
                currency=row["currency"],
                checks=row["checks"],
                # A sum of bigints comes as numeric.
                amount_minor=int(row["amount_minor"]),
            )
            for row in rows
            if row["part"] == "checks"
        ]
        by_reason = {row["code"]: row["checks"] for row in rows if row["part"] == "reason"}
        return fraud_stats(checks, by_reason, _users(rows), is_hourly=is_short)


def _users(rows: Sequence[Row]) -> list[UserStats]:
    return [
        UserStats(
            user_id=user["user_id"],
            blocked=user["checks"],
            last_blocked_at=user["at"],
            by_reason={
                row["code"]: row["checks"]
                for row in rows
                if row["part"] == "user reason" and row["user_id"] == user["user_id"]
            },
        )
        for user in rows
        if user["part"] == "user"
    ]
