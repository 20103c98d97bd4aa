"""The walk over a whole log, in pages, over archives, and against everything that says how far it must reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.audit_chain.chain import START, Archive, Broken, Row, Tip, skip
from shared.audit_chain.stream import Sent
from shared.audit_chain.walk import REPLICA_LAG_MAX_S, Extent, FirstBad, LogStatus, Page, Verification, verify
from tests.unit.test_audit_chain import CHAIN, EVENT_IDS

HASHES = {row.seq: row.hash for row in CHAIN}
OTHER = b"\x00" * 32


class MemoryLog:
    """Six rows, of which those of archives are gone; `later` are the archives seen from the second look on."""

    def __init__(
        self,
        rows: Sequence[Row] = CHAIN,
        *,
        archives: Sequence[Archive] = (),
        later: Sequence[Archive] | None = None,
        checkpoints: Mapping[int, bytes] | None = None,
        extent: Extent | None = None,
        forgotten: int = 0,
    ) -> None:
        self.rows = rows
        self.pages: list[tuple[int, int]] = []
        self._archives = archives
        self._later = archives if later is None else later
        self._checkpoints = checkpoints or {}
        self._extent = extent or Extent(6, is_replica=False)
        self._forgotten = forgotten

    async def extent(self) -> Extent:
        return self._extent

    async def hash_at(self, seq: int) -> bytes | None:
        return HASHES.get(seq)

    async def page(self, after_seq: int, until_seq: int) -> Page:
        self.pages.append((after_seq, until_seq))
        places = range(after_seq + 1, until_seq + 1)
        return Page(
            [row for row in self.rows if row.seq in places],
            {seq: event_id for seq, event_id in EVENT_IDS.items() if seq in places},
            {seq: told for seq, told in self._checkpoints.items() if seq in places},
        )

    async def archives(self) -> Sequence[Archive]:
        found, self._archives = self._archives, self._later
        return found

    async def known_events(self, after_seq: int, until_seq: int) -> int:
        return until_seq - after_seq - self._forgotten


def archive(first: int, last: int, **changes: Any) -> Archive:
    before = HASHES.get(first - 1, START.hash)
    return Archive(first, last, before, HASHES[last])._replace(**changes)


def without(*gone: int) -> list[Row]:
    return [row for row in CHAIN if row.seq not in gone]


def good(rows: int, archived_rows: int = 0) -> Verification:
    return Verification(status=LogStatus.VERIFIED, rows=rows, archived_rows=archived_rows)


def bad(seq: int, reason: str, rows: int, archived_rows: int = 0) -> Verification:
    return Verification(
        status=LogStatus.BROKEN, rows=rows, first_bad=FirstBad(seq=seq, reason=reason), archived_rows=archived_rows
    )


@pytest.mark.parametrize("page_rows", [1, 2, 4, 6, 100])
async def test_every_row_is_walked_once_in_pages_of_whatever_size(page_rows: int) -> None:
    log = MemoryLog()
    assert await verify(log, page_rows=page_rows) == good(6)
    assert log.pages == [(seq, min(seq + page_rows, 6)) for seq in range(0, 6, page_rows)]


async def test_it_tells_how_far_it_is_archived_rows_and_all() -> None:
    told: list[tuple[int, int]] = []
    log = MemoryLog(without(1, 2), archives=[archive(1, 2)])
    await verify(log, page_rows=3, tell=lambda *so_far: told.append(so_far))
    assert told == [(0, 6), (2, 6), (5, 6), (6, 6)]
    told.clear()
    await verify(MemoryLog(), after_seq=4, tell=lambda *so_far: told.append(so_far))
    assert told == [(0, 2), (2, 2)]


async def test_an_empty_log_is_whole() -> None:
    assert await verify(MemoryLog([], extent=Extent(0, is_replica=False))) == good(0)


@pytest.mark.parametrize("page_rows", [1, 2, 100])
async def test_the_good_rows_before_the_first_bad_one_are_counted(page_rows: int) -> None:
    assert await verify(MemoryLog(without(4)), page_rows=page_rows) == bad(4, "row_missing", 3)
    assert await verify(MemoryLog(without(1)), page_rows=page_rows) == bad(1, "row_missing", 0)
    changed = [row._replace(hash=OTHER) if row.seq == 5 else row for row in CHAIN]
    assert await verify(MemoryLog(changed), page_rows=page_rows) == bad(5, "content_changed", 4)


async def test_a_walk_begins_where_it_is_told_to_if_anything_stands_there() -> None:
    log = MemoryLog()
    assert await verify(log, after_seq=4) == good(2)
    assert log.pages == [(4, 6)]
    assert await verify(log, after_seq=9) == bad(9, "row_missing", 0)


@pytest.mark.parametrize("page_rows", [1, 2, 100])
async def test_an_archive_is_stepped_over_wherever_it_lies(page_rows: int) -> None:
    for first, last in ((1, 3), (3, 4), (5, 6), (4, 4), (1, 6)):
        log = MemoryLog(without(*range(first, last + 1)), archives=[archive(first, last)])
        count = last - first + 1
        assert await verify(log, page_rows=page_rows) == good(6 - count, count)
    two = MemoryLog(without(1, 2, 5), archives=[archive(1, 2), archive(5, 5)])
    assert await verify(two, page_rows=page_rows) == good(3, 3)
    ahead = MemoryLog(without(3, 5), archives=[archive(3, 3), archive(5, 5)])
    assert await verify(ahead, page_rows=page_rows) == good(4, 2)


async def test_an_archive_that_does_not_fit_is_the_first_bad_place() -> None:
    rows = without(3, 4)
    other_begin = MemoryLog(rows, archives=[archive(3, 4, previous_hash=OTHER)])
    assert await verify(other_begin) == bad(3, "archive_differs", 2)
    other_end = MemoryLog(rows, archives=[archive(3, 4, last_hash=OTHER)])
    assert await verify(other_end) == bad(5, "content_changed", 2, 2)
    told = MemoryLog(rows, archives=[archive(3, 4)], checkpoints={4: OTHER})
    assert await verify(told) == bad(4, "checkpoint_differs", 2)
    forgotten = MemoryLog(rows, archives=[archive(3, 4)], forgotten=1)
    assert await verify(forgotten) == bad(3, "event_id_missing", 2)


async def test_rows_that_are_archived_while_the_walk_is_under_way_are_not_missing() -> None:
    appeared = MemoryLog(without(3, 4), later=[archive(3, 4)])
    assert await verify(appeared) == good(4, 2)
    nothing_appeared = MemoryLog(without(3, 4), archives=[archive(1, 1)])
    assert (await verify(nothing_appeared)).first_bad == FirstBad(seq=3, reason="row_missing")


async def test_an_archive_that_swallowed_rows_already_walked_is_stepped_over_from_there() -> None:
    """Its beginning cannot be compared any more; its events and its end are."""
    assert skip(Tip(3, HASHES[3]), archive(2, 5), 2) == Tip(5, HASHES[5])
    assert skip(Tip(3, HASHES[3]), archive(2, 5), 4) == Broken(4, "event_id_missing")
    assert skip(Tip(1, OTHER), archive(2, 5), 4) == Broken(2, "archive_differs")


def sent(*seqs: int, hashes: Mapping[int, bytes] = HASHES, age_s: float = 3_600.0) -> dict[int, Sent]:
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    return {seq: Sent(hashes.get(seq, OTHER), at) for seq in seqs}


async def test_what_was_told_elsewhere_is_held_against_the_rows() -> None:
    assert await verify(MemoryLog(), sent=sent(2, 6)) == good(6)
    assert await verify(MemoryLog(), sent=sent(4, hashes={4: OTHER})) == bad(4, "checkpoint_differs", 3)


async def test_a_log_that_is_shorter_than_was_told_elsewhere_was_cut() -> None:
    assert await verify(MemoryLog(), sent=sent(3, 8)) == bad(7, "row_missing", 6)


@pytest.mark.parametrize(
    ("age_s", "expected"),
    [
        (0.0, good(6)),
        (REPLICA_LAG_MAX_S - 5, good(6)),
        (REPLICA_LAG_MAX_S + 5, bad(7, "row_missing", 6)),
    ],
)
async def test_a_replica_may_be_behind_by_a_minute_and_not_by_more(age_s: float, expected: Verification) -> None:
    log = MemoryLog(extent=Extent(6, is_replica=True))
    assert await verify(log, sent=sent(2) | sent(8, age_s=age_s)) == expected


async def test_a_replica_that_lacks_an_old_row_is_asked_for_that_one_only() -> None:
    """Of two that it lacks, the younger may be on its way."""
    log = MemoryLog(CHAIN[:4], extent=Extent(4, is_replica=True))
    told = sent(5) | sent(6, age_s=0)
    assert await verify(log, sent=told) == bad(5, "row_missing", 4)
    assert log.pages[-1] == (0, 5)


async def test_a_replica_that_is_up_to_date_is_judged_like_any_log() -> None:
    assert await verify(MemoryLog(extent=Extent(6, is_replica=True)), sent=sent(6)) == good(6)
    short = MemoryLog(CHAIN[:4], extent=Extent(6, is_replica=True))
    assert await verify(short, sent=sent(2)) == bad(5, "row_missing", 4)


async def test_a_replica_without_a_row_yet_lacks_nothing_that_is_young() -> None:
    log = MemoryLog([], extent=Extent(0, is_replica=True))
    assert await verify(log, sent=sent(1, age_s=0)) == good(0)


def test_the_words_for_a_log_are_those_that_operators_know() -> None:
    assert [status.value for status in LogStatus] == ["verified", "broken"]
    assert Verification(status=LogStatus.VERIFIED, rows=3) == good(3)
