"""Checkpoints: each minute the end of the chain is written down where an editor of the database does not reach."""

from __future__ import annotations

import asyncio

import structlog

from services.audit.metrics import CHECKPOINT, CHECKPOINTS_LOST, CUTS
from services.audit.store import Checkpoint, Store
from shared.audit_chain.stream import CheckpointStream, StreamUnavailable
from shared.observability.metrics import ChoreMeter

log = structlog.get_logger(__name__)


class Checkpoints:
    """Makes a checkpoint every `every_s` while the chain grows, and tells the log and the stream."""

    def __init__(self, store: Store, stream: CheckpointStream | None, *, every_s: float) -> None:
        self._store = store
        self._stream = stream
        self._every_s = every_s
        self._announced_seq = 0

    async def run(self) -> None:
        """Until cancelled; while the database is away there is nothing to note."""
        meter = ChoreMeter("checkpoint")
        while True:
            try:
                await self.once()
                meter.ended()
            except Exception as error:  # noqa: BLE001 - a missing checkpoint must not end the audit
                meter.postponed()
                log.warning("checkpoint_postponed", error=repr(error))
            await asyncio.sleep(self._every_s)

    async def once(self) -> None:
        """One checkpoint; one that the stream did not take is announced again."""
        found = await self._store.checkpoint()
        if found is None:
            return
        checkpoint, tip_seq = found
        if tip_seq < checkpoint.seq:
            CUTS.inc()
            log.error("audit_log_cut", checkpoint_seq=checkpoint.seq, tip_seq=tip_seq)
        if checkpoint.seq <= self._announced_seq:
            return
        log.info("checkpoint", seq=checkpoint.seq, hash=checkpoint.hash.hex(), at=checkpoint.recorded_at.isoformat())
        if await self._send(checkpoint):
            self._announced_seq = checkpoint.seq
            CHECKPOINT.set(checkpoint.seq)

    async def _send(self, checkpoint: Checkpoint) -> bool:
        """Whether the stream took it; trouble is counted and logged, and never stops the audit."""
        if self._stream is None:
            return True
        try:
            await self._stream.add(*checkpoint)
        except StreamUnavailable as error:
            CHECKPOINTS_LOST.inc()
            log.warning("checkpoint_not_sent", seq=checkpoint.seq, error=str(error))
            return False
        return True
