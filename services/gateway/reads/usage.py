"""What users have used of fraud's limits, and the limits as fraud's running instances tell them."""

from __future__ import annotations

from uuid import UUID

import msgspec

from services.gateway.domain.problems import SILENT_S
from services.gateway.domain.usage import VERSION, Usage, Used, usage
from services.gateway.reads.pipeline import INSTANCES_SQL
from shared.database import Database, Row, load_queries
from shared.reporting.report import Report

USAGE_SQL = load_queries(__file__, "usage.sql")

_report = msgspec.json.Decoder(Report)


class UsageReads:
    """Reads of the view `fraud.counted`."""

    def __init__(self, fraud: Database, transfer: Database) -> None:
        self._fraud = fraud
        self._transfer = transfer

    async def of(self, user_id: UUID) -> Usage:
        """As fraud would count it now."""
        limits = await self._limits()
        rows = await self._fraud.fetch(USAGE_SQL.usage, user_id)
        own = await self._transfer.fetch(USAGE_SQL.currencies, user_id)
        used = [_used(row) for row in rows if row["currency"] is not None]
        return usage(user_id, rows[0]["now"], used, [row["currency"] for row in own], limits)

    async def _limits(self) -> dict[str, str]:
        """Those of the instance that was started last: while settings are rolled out, the others' are on their way."""
        rows = await self._fraud.fetch(INSTANCES_SQL.list_instances)
        told = [_report.decode(row["report"]).settings for row in rows if row["silent_s"] <= SILENT_S]
        return next((settings for settings in reversed(told) if VERSION in settings), {})


def _used(row: Row) -> Used:
    fields = {name: row[name] for name in Used.__dataclass_fields__}
    # A sum of bigints comes as numeric.
    return Used(**{**fields, "held_minor": int(row["held_minor"])})
