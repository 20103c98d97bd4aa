"""Verifies the ledger in the background, a page of accounts at a time, round and round, and counts the differences."""

from __future__ import annotations

from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.gateway.background import repeatedly
from services.gateway.domain.ledger_verification import MISMATCH
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.ledger import LedgerReads
from shared.database import Database

log = structlog.get_logger(__name__)

DIFFERENCES = Gauge("remit_ledger_differences", "Accounts that the ledger did not explain, in the last whole round.")
VERIFIED = Counter("remit_ledger_verified_accounts_total", "Accounts verified in the background.")

_ACCOUNTS_TOGETHER = 200
_EVERY_S = 10.0
# One verifier for all gateways of a database; the number is drawn.
_LOCK = 5_846_120_912


class Verifier:
    """Walks over all accounts in order of their ids."""

    def __init__(self, database: Database, accounts: AccountReads, ledger: LedgerReads) -> None:
        self._database = database
        self._accounts = accounts
        self._ledger = ledger
        self._last: UUID | None = None
        self._differences = 0

    async def run(self) -> None:
        """Verifies until cancelled."""
        await repeatedly("verifier", self._page, every_s=_EVERY_S)

    async def _page(self) -> None:
        async with self._database.advisory_lock(_LOCK) as held:
            if held:
                await self._verify()

    async def _verify(self) -> None:
        page = await self._accounts.ids_after(self._last, _ACCOUNTS_TOGETHER)
        if not page:
            DIFFERENCES.set(self._differences)
            self._last, self._differences = None, 0
            return
        for found in await self._ledger.verify(page):
            VERIFIED.inc()
            if found.status == MISMATCH:
                self._differences += 1
                broken = [check.name for check in found.checks if not check.ok]
                log.error("ledger_mismatch", account_id=str(found.account_id), checks=broken)
        self._last = page[-1]
