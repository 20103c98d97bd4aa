"""What fraud's checks came to."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.domain.fraud_stats import FraudStats
from services.gateway.http import paging
from services.gateway.http.openapi import DATES, Call
from services.gateway.http.responses import answer
from services.gateway.identity.activity import Activities, activity
from services.gateway.identity.callers import Callers
from services.gateway.reads.fraud_stats import FraudStatsReads


class FraudRoutes:
    """The calls under `/admin/fraud-stats`."""

    def __init__(self, callers: Callers, reads: FraudStatsReads, activities: Activities) -> None:
        self._callers = callers
        self._reads = reads
        self._activities = activities

    def calls(self) -> list[Call]:
        """The table."""
        return [
            Call(method="GET", path="/api/v1/admin/fraud-stats", endpoint=self.stats, tag="operators", query=DATES,
                 summary="What fraud's checks came to", answers=FraudStats, also=(403,)),
        ]  # fmt: skip

    async def stats(self, request: Request) -> Response:
        """Counts, amounts and reasons of a range of days, by day and, if it is short, by hour; and who was blocked."""
        caller = await self._callers.admin(request)
        start, end = paging.time_range(request)
        found = await self._reads.of(start, end)
        details = {"act": "read_fraud_stats", "start": start, "end": end}
        await self._activities.tell(activity("ADMIN", "transaction", None, caller.context, details=details))
        return answer(found)
