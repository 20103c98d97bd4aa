"""Walks over the audit log's chain, one at a time, and how far one has come."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Mapping
from typing import Annotated

import msgspec
from msgspec import Meta
from prometheus_client import Gauge

from services.gateway.background import on_the_way
from shared.audit_chain.stream import CheckpointStream, Sent
from shared.audit_chain.walk import Log, LogStatus, Verification, verify

BROKEN = Gauge("remit_audit_chain_broken", "Whether the last verification here found the log broken; NaN: none yet.")
BROKEN.set(math.nan)
VERIFIED_AT = Gauge(
    "remit_audit_chain_verified_timestamp_seconds", "When that was, in seconds since 1970; 0: never in this process."
)

# Often enough that a bar moves, and that nobody takes the connection for gone.
_TOLD_EVERY_S = 0.5


class WalkProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a walk has come, in rows of the chain from its beginning, archived ones too."""

    walked: int
    total: Annotated[int | None, Meta(description="Rows to walk; null until its turn: one walk runs at a time.")]


class AuditWalks:
    """Verifies the log, against every checkpoint, also those that were sent to the stream."""

    def __init__(self, log: Log, stream: CheckpointStream) -> None:
        self._log = log
        self._stream = stream
        # A walk takes a processor's whole attention; a second one at once would only make both late.
        self._walking = asyncio.Lock()

    async def verify(self) -> Verification:
        """The whole chain.

        Raises:
            StreamUnavailable: nobody can tell what was sent.
        """
        return await _Walk(self._log, await self._stream.read(), self._walking).run()

    async def begin(self) -> AsyncGenerator[WalkProgress | Verification]:
        """The same, as it goes on: progress, at least twice, then what was found. It ends when nobody reads it.

        Raises:
            StreamUnavailable: nobody can tell what was sent; before anything is given.
        """
        walk = _Walk(self._log, await self._stream.read(), self._walking)
        return on_the_way(walk.run, lambda: walk.progress, every_s=_TOLD_EVERY_S)


class _Walk:
    """One walk: it waits for its turn, and knows where it is."""

    def __init__(self, log: Log, sent: Mapping[int, Sent], turn: asyncio.Lock) -> None:
        self._log = log
        self._sent = sent
        self._turn = turn
        self.progress = WalkProgress(walked=0, total=None)

    async def run(self) -> Verification:
        async with self._turn:
            found = await verify(self._log, sent=self._sent, tell=self._tell)
            BROKEN.set(found.status is LogStatus.BROKEN)
            VERIFIED_AT.set_to_current_time()
        return found

    def _tell(self, walked: int, total: int) -> None:
        self.progress = WalkProgress(walked=walked, total=total)
