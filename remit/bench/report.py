"""What a run showed, as data: written as JSON, read again for the page and the table of docs/performance.md."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import msgspec

from remit.bench.load import Summary
from remit.bench.pgbench import Baseline
from remit.bench.works import Done
from remit.invariants import Result, Status, worst
from remit.pages import commit

_MIB = 1024 * 1024
_SERIES_MAX = 300


class LagMs(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds from the settling of a transfer to when what follows could be seen."""

    p50: float
    p99: float
    max: float


class BatchSize(msgspec.Struct, frozen=True, kw_only=True):
    """Items of the natural batches of one queue; `up_to` is the size of the histogram that none exceeded."""

    batches: int
    mean: float
    up_to: float | None


class WorkReport(msgspec.Struct, frozen=True, kw_only=True):
    """One work. `settled` counts transfers with both entries and both audit rows committed; all of `cpu_us` is
    microseconds a settled transfer, by process; `memory_mib` the most of each, `growth_mib` by how much its middle in
    the last quarter of the time lies above that in the second; shares are of one core, `elsewhere_share` of all.
    """

    name: str
    does: str
    variant: str
    connections: int
    seconds: float
    rate: float | None
    settled: int
    missing: int
    failed: int
    blocked: int
    settled_per_s: float
    answers: Mapping[int, Summary]
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    good_ms: Sequence[float]
    per_second: Sequence[int]
    ledger_lag: LagMs
    audit_lag: LagMs
    cpu_us: Mapping[str, float]
    memory_mib: Mapping[str, float]
    growth_mib: Mapping[str, float]
    memory_series_mib: Mapping[str, Sequence[float]]
    batches: Mapping[str, BatchSize]
    generator_share: float
    late_p99_ms: float
    elsewhere_share: float


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was timed, how much it looked at, and how long it may take, where that is said."""

    what: str
    figure: str
    seconds: float
    target_s: float | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One run, whole. `storage` is bytes a transfer, by schema, tables and indexes; `peak_mib` the most that a process
    ever held, as the kernel knows it; `load_average` tells how busy others kept the machine at the beginning."""

    commit: str
    finished_at: str
    machine: str
    cores: int
    load_average: float
    ok: bool
    customers: int
    pgbench: Baseline | None
    works: Sequence[WorkReport]
    timings: Sequence[Timing]
    storage: Mapping[str, float]
    peak_mib: Mapping[str, float]
    checks: Sequence[Result]
    # Why it was not done whole, if it was not.
    broken: str = ""

    def work(self, name: str, variant: str = "") -> WorkReport | None:
        """The work of that name, if it was done."""
        return next((work for work in self.works if (work.name, work.variant) == (name, variant)), None)


def work_report(done: Done, variant: str = "") -> WorkReport:
    """The figures of one work."""
    measured, booked = done.measured, done.booked
    ascending = measured.good_ms
    p50, p95, p99, most = (ascending[place] for place in (49, 94, 98, -1)) if ascending else (0.0,) * 4
    return WorkReport(
        name=done.work.name,
        does=done.work.does,
        variant=variant,
        connections=done.work.connections,
        seconds=round(booked.seconds, 3),
        rate=done.rate,
        settled=booked.settled,
        missing=booked.missing,
        failed=booked.failed,
        blocked=booked.blocked,
        settled_per_s=booked.settled / booked.seconds if booked.seconds else 0.0,
        answers=measured.by_status,
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        max_ms=most,
        good_ms=ascending,
        per_second=booked.per_second,
        ledger_lag=LagMs(p50=booked.ledger.p50_ms, p99=booked.ledger.p99_ms, max=booked.ledger.max_ms),
        audit_lag=LagMs(p50=booked.audit.p50_ms, p99=booked.audit.p99_ms, max=booked.audit.max_ms),
        cpu_us={name: spent * 1e6 / max(1, booked.settled) for name, spent in done.cpu_s.items()},
        memory_mib={name: max(held) / _MIB for name, held in done.memory.items()},
        growth_mib={name: growth(held) / _MIB for name, held in done.memory.items()},
        memory_series_mib={name: [round(one / _MIB, 2) for one in thinned(held)] for name, held in done.memory.items()},
        batches={queue: _size(found.count, found.mean, found.largest) for queue, found in done.batches.items()},
        generator_share=measured.cpu_share,
        late_p99_ms=measured.late_p99_ms,
        elsewhere_share=done.elsewhere_share,
    )


def growth(held: Sequence[int]) -> float:
    """By how much the median of the last quarter exceeds that of the second: the first is warming up."""
    quarter = len(held) // 4
    if quarter == 0:
        return 0.0
    return median(held[-quarter:]) - median(held[quarter : 2 * quarter])


def thinned(held: Sequence[int]) -> Sequence[int]:
    """At most so many of them, evenly chosen, that a page can draw them."""
    step = len(held) // _SERIES_MAX + 1
    return held[::step]


def _size(count: float, mean: float, largest: float) -> BatchSize:
    return BatchSize(batches=int(count), mean=mean, up_to=None if largest == float("inf") else largest)


def report_of(
    *,
    customers: int,
    load_average: float,
    pgbench: Baseline | None,
    works: Sequence[WorkReport],
    timings: Sequence[Timing],
    storage: Mapping[str, float],
    peak: Mapping[str, int],
    checks: Sequence[Result],
    broken: str = "",
) -> Report:
    """The report of a run that has just ended. It is well if all was done, and the books
    are right and hold all that was completed."""
    is_whole = all(work.missing == 0 and work.settled > 0 for work in works)
    return Report(
        commit=commit(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        cores=os.cpu_count() or 1,
        load_average=round(load_average, 2),
        ok=bool(checks) and worst(checks) is Status.OK and is_whole and not broken,
        customers=customers,
        pgbench=pgbench,
        works=works,
        timings=timings,
        storage=storage,
        peak_mib={name: held / _MIB for name, held in peak.items()},
        checks=checks,
        broken=broken,
    )


def encode(report: Report) -> bytes:
    """One JSON document."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


def write_json(report: Report, path: Path) -> None:
    """The same in a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(report))


def read_json(path: Path) -> Report:
    """A report that was written."""
    return msgspec.json.decode(path.read_bytes(), type=Report)
