"""Verification of the log: the whole chain again from its beginning, in pages, against everything that vouches for it.

It may run while rows are added: it judges what was committed when it began. Memory is bounded by a page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, Protocol
from uuid import UUID

import msgspec

from shared.audit_chain.chain import START, Archive, Broken, Row, Tip, follow, skip
from shared.audit_chain.stream import Sent

# Small enough that the other work of an event loop waits but some tens of milliseconds for one.
PAGE_ROWS = 2_000
# How far a replica may be behind what is told elsewhere before that counts as a row that was cut off.
REPLICA_LAG_MAX_S = 60.0


# Hears how many rows were walked, archived ones too, and how many there are to walk.
Tell = Callable[[int, int], None]


class LogStatus(StrEnum):
    """Whether the log is what was recorded."""

    VERIFIED = "verified"
    BROKEN = "broken"


class FirstBad(msgspec.Struct, frozen=True, kw_only=True):
    """The first row that is not as it was recorded, or is not there, and in one word why."""

    seq: int
    reason: str


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """What a walk found: `rows` are those it found good, `archived_rows` stand in archives that fit into the chain."""

    status: LogStatus
    rows: int
    first_bad: FirstBad | None = None
    archived_rows: int = 0


class Extent(NamedTuple):
    """How far the chain must reach, by whatever in the database says so."""

    seq: int
    is_replica: bool


class Page(NamedTuple):
    """What the log holds of a range of positions."""

    rows: Sequence[Row]
    event_ids: Mapping[int, UUID]
    checkpoints: Mapping[int, bytes]


class Log(Protocol):
    """A log that can be walked."""

    async def extent(self) -> Extent: ...

    async def hash_at(self, seq: int) -> bytes | None: ...

    async def page(self, after_seq: int, until_seq: int) -> Page: ...

    async def archives(self) -> Sequence[Archive]: ...

    async def known_events(self, after_seq: int, until_seq: int) -> int: ...


async def verify(
    log: Log,
    *,
    sent: Mapping[int, Sent] | None = None,
    after_seq: int = 0,
    page_rows: int = PAGE_ROWS,
    tell: Tell | None = None,
) -> Verification:
    """Walks the chain from its genesis, or from the row or checkpoint at `after_seq`, to all that is known of it.

    Every row must follow the one before it without a gap, give its hash, agree with the event ids (both ways) and with
    every checkpoint, those that were `sent` elsewhere too; and the chain must be as long as each of them says. `sent`
    must have been read before this is called: what is told later is of rows that are not judged. `tell` hears of the
    beginning, and of each page.
    """
    sent = sent or {}
    until_seq = _reach(await log.extent(), sent)
    tip = await _start(log, after_seq)
    if tip is None:
        return _broken(Broken(after_seq, "row_missing"), 0, 0)
    hashes = {seq: told.hash for seq, told in sent.items()}
    return await _Walk(log, hashes, page_rows, tell).run(tip, until_seq)


class _Walk:
    """One walk; it counts as it goes."""

    def __init__(self, log: Log, sent: Mapping[int, bytes], page_rows: int, tell: Tell | None) -> None:
        self._log = log
        self._sent = sent
        self._page_rows = page_rows
        self._tell = tell
        self._archives: Sequence[Archive] = ()

    async def run(self, tip: Tip, until_seq: int) -> Verification:
        rows = archived_rows = 0
        total = until_seq - tip.seq
        self._say(0, total)
        self._archives = await self._log.archives()
        while tip.seq < until_seq:
            archive = next((a for a in self._archives if a.first_seq <= tip.seq + 1 <= a.last_seq), None)
            found = await (self._skip(tip, archive) if archive else self._follow(tip, until_seq))
            if isinstance(found, Broken):
                if found.reason == "row_missing" and await self._has_new_archive():
                    continue
                return _broken(found, rows if archive else rows + max(0, found.seq - 1 - tip.seq), archived_rows)
            rows += 0 if archive else found.seq - tip.seq
            archived_rows += found.seq - tip.seq if archive else 0
            tip = found
            self._say(rows + archived_rows, total)
            # Lets others have the loop, also where every read was answered at once.
            await asyncio.sleep(0)
        return Verification(status=LogStatus.VERIFIED, rows=rows, archived_rows=archived_rows)

    def _say(self, walked: int, total: int) -> None:
        if self._tell is not None:
            self._tell(walked, total)

    async def _follow(self, tip: Tip, until_seq: int) -> Tip | Broken:
        next_archive = min((a.first_seq for a in self._archives if a.first_seq > tip.seq), default=until_seq + 1)
        until_seq = min(tip.seq + self._page_rows, until_seq, next_archive - 1)
        page = await self._log.page(tip.seq, until_seq)
        return follow(tip, until_seq, page.rows, page.event_ids, page.checkpoints, self._sent)

    async def _skip(self, tip: Tip, archive: Archive) -> Tip | Broken:
        known = await self._log.known_events(tip.seq, archive.last_seq)
        at_end = await self._log.page(archive.last_seq - 1, archive.last_seq)
        return skip(tip, archive, known, at_end.checkpoints, self._sent)

    async def _has_new_archive(self) -> bool:
        # A month that was detached under our feet is not missing.
        before, self._archives = self._archives, await self._log.archives()
        return list(before) != list(self._archives)


def _reach(extent: Extent, sent: Mapping[int, Sent]) -> int:
    seq = max(sent, default=0)
    if seq <= extent.seq or not extent.is_replica:
        return max(seq, extent.seq)
    oldest = datetime.now(UTC) - timedelta(seconds=REPLICA_LAG_MAX_S)
    return max(extent.seq, *(seq for seq, told in sent.items() if told.recorded_at < oldest), 0)


def _broken(broken: Broken, rows: int, archived_rows: int) -> Verification:
    return Verification(
        status=LogStatus.BROKEN,
        rows=rows,
        first_bad=FirstBad(seq=broken.seq, reason=broken.reason),
        archived_rows=archived_rows,
    )


async def _start(log: Log, after_seq: int) -> Tip | None:
    if after_seq == 0:
        return START
    known_hash = await log.hash_at(after_seq)
    return None if known_hash is None else Tip(after_seq, known_hash)
