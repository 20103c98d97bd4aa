"""What is wanted, and whether it was reached: the table of docs/performance.md, written from reports alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from remit import pages
from remit.bench.report import Report, WorkReport

_SERVICES = ("gateway", "fraud", "transfer", "ledger", "audit")
_HOT, _FULL, _WORKERS = 0.9, 0.85, 1.0
# Two runs of the same work differ by so much on a machine of which one is the only user.
_NOISE = 0.05
_MEMORY_MIB_MAX = 120.0
# Over a soak: what allocators keep, not what a leak would add.
_GROWTH_MIB_MAX = 3.0
_SOAK_S_MIN = 15 * 60 * 0.99


@dataclass(frozen=True, kw_only=True)
class Row:
    """One target: what was measured, and whether that is enough; None where it says nothing of enough."""

    work: str
    target: str
    measured: str
    is_met: bool | None


def rows(reports: Sequence[Report]) -> list[Row]:
    """Every target that these reports say something about, in the order of the table."""
    found: list[Row] = []
    for report in reports:
        found += [*_singles(report), *_batches(report), *_hot(report), *_full(report)]
        found += [*_memory(report), *_lag(report), *_workers(report), *_timings(report)]
    return [*found, *_storage(reports)]


def markdown(reports: Sequence[Report]) -> str:
    """The table, with commit and date."""
    first = reports[0]
    commits = ", ".join(sorted({report.commit for report in reports}))
    others = max((work.elsewhere_share for report in reports for work in report.works), default=0.0)
    head = [
        f"Commit {commits}; {max(report.finished_at for report in reports)}; {first.machine}, {first.cores} cores;",
        f"processes that are no part of it took up to {others:.0%} of the cores meanwhile. {_pgbench(reports)}",
        "",
        "| work | target | measured | |",
        "|---|---|---|---|",
    ]
    said = {True: "met", False: "missed", None: ""}
    body = [f"| {row.work} | {row.target} | {row.measured} | {said[row.is_met]} |" for row in rows(reports)]
    return "\n".join([*head, *body, ""])


def write_table(reports: Sequence[Report], page: Path) -> None:
    """The table, between its marks on a page."""
    pages.write_table(page, markdown(reports))


def _pgbench(reports: Sequence[Report]) -> str:
    done = [report.pgbench for report in reports if report.pgbench]
    if not done:
        return "pgbench was not run."
    each = ", ".join(f"{one.transactions_per_s:,.0f}" for one in done)
    return f"pgbench TPC-B in the same runs (scale {done[0].scale}, {done[0].clients} clients, prepared): {each}/s."


def _singles(report: Report) -> Iterable[Row]:
    if work := report.work("single"):
        yield _rate(report, work, 2_000, 0.5)
        yield _at_most(work.does, "p99", work.p99_ms, 150)
    if work := report.work("idle"):
        yield _at_most(work.does, "p50", work.p50_ms, 8)
        yield _at_most(work.does, "p99", work.p99_ms, 20)


def _batches(report: Report) -> Iterable[Row]:
    for name in ("batch", "operator"):
        if work := report.work(name):
            yield _rate(report, work, 12_000, 3.0)


def _hot(report: Report) -> Iterable[Row]:
    for hot, uniform in (("hot", "single"), ("hot-batch", "batch")):
        yield from _share(report.work(hot), report.work(uniform), _HOT, f"{_HOT} of {uniform}")


def _full(report: Report) -> Iterable[Row]:
    for work in report.works:
        if work.variant.startswith("after "):
            yield from _share(work, report.work(work.name), _FULL, f"{_FULL} of the empty book's")


def _workers(report: Report) -> Iterable[Row]:
    for work in report.works:
        if "worker" in work.variant:
            yield from _share(work, report.work(work.name), _WORKERS - _NOISE, f"not slower (± {_NOISE:.0%})")


def _memory(report: Report) -> Iterable[Row]:
    held = {name: mib for name, mib in report.peak_mib.items() if name.partition("-")[0] in _SERVICES}
    if held:
        most = ", ".join(f"{name} {mib:.0f}" for name, mib in held.items())
        yield Row(
            work="memory, each service process, the most ever",
            target=f"{_MEMORY_MIB_MAX:.0f} MiB",
            measured=f"{most} MiB",
            is_met=max(held.values()) <= _MEMORY_MIB_MAX,
        )
    if soak := report.work("soak"):
        grown = {name: mib for name, mib in soak.growth_mib.items() if name in _SERVICES}
        yield Row(
            work=f"memory over {soak.seconds / 60:.0f} minutes at half load",
            target=f"flat (within {_GROWTH_MIB_MAX:.0f} MiB)",
            measured=", ".join(f"{name} {mib:+.1f}" for name, mib in grown.items()) + " MiB",
            is_met=max(grown.values()) <= _GROWTH_MIB_MAX if soak.seconds >= _SOAK_S_MIN else None,
        )


def _lag(report: Report) -> Iterable[Row]:
    for name in ("half", "soak"):
        if work := report.work(name):
            yield _at_most(f"ledger, {work.does}", "lag p99", work.ledger_lag.p99, 250)
            yield _at_most(f"audit, {work.does}", "lag p99", work.audit_lag.p99, 250)


def _timings(report: Report) -> Iterable[Row]:
    for timing in report.timings:
        yield Row(
            work=f"{timing.what}, {timing.figure}",
            target=f"{timing.target_s:g} s" if timing.target_s else "reported",
            measured=f"{timing.seconds:.2f} s",
            is_met=timing.seconds <= timing.target_s if timing.target_s else None,
        )


def _storage(reports: Sequence[Report]) -> Iterable[Row]:
    for report in reports[:1]:
        parts = ", ".join(f"{schema} {size:,.0f}" for schema, size in report.storage.items() if size >= 1)
        yield Row(
            work="storage, all schemas and indexes",
            target="reported",
            measured=f"{sum(report.storage.values()):,.0f} bytes a transfer ({parts})",
            is_met=None,
        )


def _rate(report: Report, work: WorkReport, wanted: float, share: float) -> Row:
    measured, is_met = f"{work.settled_per_s:,.0f}/s", work.settled_per_s >= wanted
    if report.pgbench:
        ratio = work.settled_per_s / report.pgbench.transactions_per_s
        measured, is_met = f"{measured}, {ratio:.2f} times pgbench", is_met and ratio >= share
    target = f"{wanted:,} settled/s and {share:.2g} times pgbench"
    return Row(work=work.does, target=target, measured=measured, is_met=is_met)


def _at_most(work: str, what: str, found_ms: float, wanted_ms: float) -> Row:
    return Row(
        work=work, target=f"{what} {wanted_ms:g} ms", measured=f"{found_ms:.1f} ms", is_met=0 < found_ms <= wanted_ms
    )


def _share(work: WorkReport | None, of: WorkReport | None, wanted: float, target: str) -> Iterable[Row]:
    if work is None or of is None or not of.settled_per_s:
        return
    ratio = work.settled_per_s / of.settled_per_s
    name = f"{work.does}, {work.variant}" if work.variant else work.does
    yield Row(work=name, target=target, measured=f"{work.settled_per_s:,.0f}/s, {ratio:.2f}", is_met=ratio >= wanted)
