"""Looks after accepted transfers that no call waits for: each of them ends, whatever was lost on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
import structlog
from prometheus_client import Counter

from services.gateway.background import repeatedly
from services.gateway.calls.publishing import Requests
from services.gateway.calls.transfers import end_record, millis, order_of
from services.gateway.domain import ids, views
from services.gateway.idempotency.claims import Told, requests_of
from services.gateway.idempotency.records import Records
from services.gateway.reads.transfers import TransferReads
from shared.contracts.gateway import TransferRequested
from shared.contracts.naming import named
from shared.contracts.transfer import TransferSettled

log = structlog.get_logger(__name__)

SWEPT = Counter("remit_swept_records_total", "Due records by what was done about them.", ["done"])

_EVERY_S = 1.0
_FORGET_EVERY_S = 30.0
# The global budget: how many records a second one gateway looks at, and with them how much it may publish again.
_RECORDS_MAX = 200
_PAUSE_MS = 5_000
_PAUSE_MAX_MS = 600_000
_ANYWAY_AFTER_MS = 600_000
_ENDED_QUEUE_MAX = 10_000


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A pending record that this gateway now looks after. `sent_ms`: when it was last published, Redis' time."""

    name: str
    fingerprint: str
    requests: Sequence[TransferRequested]
    sent_ms: int
    is_published: bool

    @property
    def is_batch(self) -> bool:
        return self.name.startswith("b:")

    @property
    def asked_ms(self) -> int:
        return max((millis(request.instruction.requested_at) for request in self.requests), default=0)


class Sweeper:
    """Completes what has ended, publishes again what was lost."""

    def __init__(self, records: Records, requests: Requests, reads: TransferReads) -> None:
        self._records = records
        self._requests = requests
        self._reads = reads
        self._ended: asyncio.Queue[TransferSettled] = asyncio.Queue(_ENDED_QUEUE_MAX)
        self._connected = True
        self._connected_ms = 0

    def broker_connected(self) -> None:
        """What was published before may have been lost with the broker."""
        self._connected = True

    def unawaited(self, settled: TransferSettled) -> None:
        """A transfer has ended that no call waits for. What does not fit in here is found when it is due."""
        if self._records.held(f"t:{settled.instruction.transfer_id}") and not self._ended.full():
            self._ended.put_nowait(settled)

    async def complete(self) -> None:
        """Ends the records of transfers whose end was told after their call was over; until cancelled."""
        while True:
            settled = await self._ended.get()
            view = views.settled(settled)
            await end_record(self._records, f"t:{view.transfer_id}", view)

    async def run(self) -> None:
        """Sweeps until cancelled."""
        await repeatedly("sweep", self._sweep, every_s=_EVERY_S)

    async def forget(self) -> None:
        """Lets go of held records whose end another gateway saw, or nobody told; until cancelled."""
        await repeatedly("forget", self._forget, every_s=_FORGET_EVERY_S)

    async def _forget(self) -> None:
        while await self._forget_longest_held():
            pass

    async def _forget_longest_held(self) -> int:
        """Looks at those held longest; how many of them had ended."""
        held = self._records.longest_held(_RECORDS_MAX)
        ids = {record.name: [r.instruction.transfer_id for r in requests_of(record.payload)] for record in held}
        ended = await self._reads.rows([transfer_id for found in ids.values() for transfer_id in found]) if ids else {}
        over = [name for name, transfer_ids in ids.items() if all(each in ended for each in transfer_ids)]
        for name in over:
            self._records.let_go(name)
        return len(over)

    async def _sweep(self) -> None:
        await self._records.release_abandoned()
        now_ms, newest_ms, found = await self._records.take_due(
            _RECORDS_MAX, _PAUSE_MS, _PAUSE_MAX_MS, can_publish=self._requests.is_up
        )
        if self._connected and self._requests.is_up:
            self._connected, self._connected_ms = False, now_ms
        due = [record for record in map(_due, found) if record is not None]
        if not due:
            return
        rows = await self._rows(due)
        open_ones = [record for record in due if not await self._completed(record, rows)]
        for record in sorted(open_ones, key=lambda record: record.asked_ms):
            await self._publish_again(record, now_ms, newest_ms)

    async def _rows(self, due: Sequence[Due]) -> dict[Any, views.TransferView]:
        return await self._reads.rows([r.instruction.transfer_id for record in due for r in record.requests])

    async def _completed(self, record: Due, rows: dict[Any, views.TransferView]) -> bool:
        """Ends the record if all it holds has ended; lets go of one whose key belongs to another payload."""
        ended = [rows.get(request.instruction.transfer_id) for request in record.requests]
        refused: dict[int, Sequence[str]] = {}
        if any(view is None for view in ended):
            decisions = await self._reads.decisions([r.instruction.transfer_id for r in record.requests])
            for view, request in zip(ended, record.requests, strict=True):
                asked, decided = request.instruction, decisions.get(request.instruction.transfer_id)
                if view is None and (decided is None or decided.instruction.fingerprint == asked.fingerprint):
                    return False
                if view is None and decided is not None:
                    index = 0 if asked.batch is None else asked.batch.index
                    refused[index] = ids.differing_fields(order_of(decided.instruction), order_of(asked))
        if record.is_batch:
            # One that holds nothing named unknown sources alone.
            request_id = record.requests[0].instruction.context.request_id if record.requests else ""
            told = Told(request_id, refused)
            await self._records.end(record.name, record.fingerprint, 200, told.written, record.asked_ms)
            SWEPT.labels("completed").inc()
        elif (first := ended[0]) is not None and first.fingerprint == record.fingerprint:
            await end_record(self._records, record.name, first)
            SWEPT.labels("completed").inc()
        else:
            await self._records.discard(record.name, record.fingerprint)
            SWEPT.labels("discarded").inc()
        return True

    async def _publish_again(self, record: Due, now_ms: int, newest_ms: int) -> None:
        lost = (
            not record.is_published
            or newest_ms > record.asked_ms
            or self._connected_ms > record.sent_ms
            or now_ms - record.sent_ms > _ANYWAY_AFTER_MS
        )
        if not lost or not self._requests.is_up:
            SWEPT.labels("left").inc()
            return
        # Nobody waits here for its outcome any more: the reply goes to whoever holds the record, which is us.
        await self._requests.whole(list(record.requests))
        await self._records.sent(record.name, record.fingerprint)
        SWEPT.labels("published").inc()
        first = named(record.requests[0]) if record.requests else {}
        log.warning("published_again", record=record.name, items=len(record.requests), **first)


def _due(item: list[Any]) -> Due | None:
    name, fingerprint, payload, sent, published, _ = item
    try:
        requests = requests_of(payload)
    except msgspec.DecodeError as error:
        # Written by another release: it stays, and comes again for whoever can read it.
        SWEPT.labels("unreadable").inc()
        log.error("record_unreadable", record=name.decode(), error=str(error))
        return None
    return Due(
        name=name.decode(),
        fingerprint=fingerprint.decode(),
        requests=requests,
        sent_ms=int(sent),
        is_published=published == b"1",
    )
