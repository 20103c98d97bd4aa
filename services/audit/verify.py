"""Verification of the log: the whole chain again from its beginning, in pages, against everything that vouches for it.

It reads as the role of audit or of the owner, while rows are being added: it judges what was committed when it began.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from services.audit.canonical import stored_details
from services.audit.chain import START, Broken, Row, Tip, follow
from services.audit.domain import Entry
from services.audit.store import DETAILS, SQL
from shared.database import Database
from shared.database import Row as Record

PAGE_ROWS = 5_000


class LogStatus(StrEnum):
    """Whether the log is what was recorded."""

    VERIFIED = "verified"
    BROKEN = "broken"


@dataclass(frozen=True, kw_only=True)
class FirstBad:
    """The first row that is not as it was recorded, or is not there, and in one word why."""

    seq: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a walk found; `rows` are those that were found good."""

    status: LogStatus
    rows: int
    first_bad: FirstBad | None = None


async def verify(database: Database, *, after_seq: int = 0, page_rows: int = PAGE_ROWS) -> Verification:
    """Walks the chain from its genesis, or from the row or checkpoint at `after_seq`, to all that is known of it.

    Every row must follow the one before it without a gap, give its hash, agree with `audit.event_ids` (both ways) and
    with every checkpoint; and the chain must be as long as each of the three says.
    """
    until_seq: int = await database.fetchval(SQL.extent)
    tip = await _start(database, after_seq)
    if tip is None:
        return _result(after_seq, Broken(after_seq, "row_missing"))
    while tip.seq < until_seq:
        page = await _page(database, tip, min(tip.seq + page_rows, until_seq))
        if isinstance(page, Broken):
            return _result(after_seq, page)
        tip = page
    return Verification(status=LogStatus.VERIFIED, rows=tip.seq - after_seq)


def _result(after_seq: int, broken: Broken) -> Verification:
    return Verification(
        status=LogStatus.BROKEN,
        rows=max(0, broken.seq - 1 - after_seq),
        first_bad=FirstBad(seq=broken.seq, reason=broken.reason),
    )


async def _start(database: Database, after_seq: int) -> Tip | None:
    if after_seq == 0:
        return START
    known_hash = await database.fetchval(SQL.hash_at, after_seq)
    return None if known_hash is None else Tip(after_seq, known_hash)


async def _page(database: Database, tip: Tip, until_seq: int) -> Tip | Broken:
    rows = await database.fetch(SQL.logs_between, tip.seq, until_seq)
    event_ids = await database.fetch(SQL.event_ids_between, tip.seq, until_seq)
    checkpoints = await database.fetch(SQL.checkpoints_between, tip.seq, until_seq)
    return follow(tip, until_seq, [_row(row) for row in rows], _pairs(event_ids), _pairs(checkpoints))


def _pairs(records: Iterable[Record]) -> dict[int, Any]:
    return {record[0]: record[1] for record in records}


def _row(record: Record) -> Row:
    seq, recorded_at, row_hash, *fields = record
    try:
        fields[DETAILS] = stored_details(fields[DETAILS])
    except ValueError:
        return Row(seq, recorded_at, row_hash, None)
    return Row(seq, recorded_at, row_hash, Entry._make(fields))
