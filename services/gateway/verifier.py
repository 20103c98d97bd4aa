"""Verifies the ledger in the background, round after round over all accounts, and counts those it does not explain.

One gateway verifies for all: the one that holds the lock. The others say NaN, which a maximum over all gateways
passes over. A difference counts as soon as it is met, and until a whole round has not met it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from uuid import UUID

import structlog
from prometheus_client import Counter, Gauge

from services.gateway.background import repeatedly
from services.gateway.domain.ledger_verification import MISMATCH
from services.gateway.reads.accounts import AccountReads
from services.gateway.reads.ledger import LedgerReads
from shared.database import Database

log = structlog.get_logger(__name__)

DIFFERENCES = Gauge("remit_ledger_differences", "Accounts that the ledger does not explain; NaN where nobody verifies.")
DIFFERENCES.set(math.nan)
VERIFIED = Counter("remit_ledger_verified_accounts_total", "Accounts verified in the background.")
ROUND_ENDED = Gauge(
    "remit_ledger_round_ended_timestamp_seconds", "When the last whole round ended, in seconds since 1970; 0: none yet."
)

_ACCOUNTS_TOGETHER = 200
# After each page it rests so many times as long as the page took, so that a large book costs others a twentieth.
_RESTS = 19
# Then the lock is asked for anew: a gateway whose connection was cut has lost it unawares, and another verifies too.
_ROUNDS_HELD = 100
# One verifier for all gateways of a database; the number is drawn.
_LOCK = 5_846_120_912


class Verifier:
    """Walks over all accounts in order of their ids. `database` lends one connection, which is kept for the lock."""

    def __init__(self, database: Database, accounts: AccountReads, ledger: LedgerReads, *, every_s: float) -> None:
        self._database = database
        self._accounts = accounts
        self._ledger = ledger
        self._every_s = every_s
        # What the last whole round found, and more if this one has.
        self._known = 0

    async def run(self) -> None:
        """Verifies, or stands by for the gateway that does, until cancelled."""
        await repeatedly("verifier", self._verify, every_s=self._every_s)

    async def _verify(self) -> None:
        async with self._database.advisory_lock(_LOCK) as held:
            if not held:
                DIFFERENCES.set(math.nan)
                return
            for _ in range(_ROUNDS_HELD):
                await self._round()
                await asyncio.sleep(self._every_s)

    async def _round(self) -> None:
        loop, found, last = asyncio.get_running_loop(), 0, None
        while page := await self._accounts.ids_after(last, _ACCOUNTS_TOGETHER):
            begun = loop.time()
            found += await self._mismatches(page)
            last = page[-1]
            if found > self._known:
                self._show(found)
            await asyncio.sleep(_RESTS * (loop.time() - begun))
        if found < self._known:
            log.info("ledger_differences_fewer", before=self._known, now=found)
        self._show(found)
        ROUND_ENDED.set_to_current_time()

    async def _mismatches(self, account_ids: Sequence[UUID]) -> int:
        verified = await self._ledger.verify(account_ids)
        VERIFIED.inc(len(verified))
        mismatches = [found for found in verified if found.status == MISMATCH]
        for found in mismatches:
            broken = {check.name: check.detail for check in found.checks if not check.ok}
            log.error("ledger_mismatch", account_id=str(found.account_id), checks=broken)
        return len(mismatches)

    def _show(self, differences: int) -> None:
        self._known = differences
        DIFFERENCES.set(differences)
