"""What a run showed, for a person at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rich.console import Console

from remit.bench import targets
from remit.bench.report import Report, WorkReport
from remit.console import show_results, table

_MET = {True: "[green]met[/green]", False: "[yellow]missed[/yellow]", None: ""}


def show(out: Console, report: Report) -> None:
    """Works, what they cost, the targets, the books."""
    _works(out, report)
    _by_process(out, "CPU, µs a transfer", {_label(work): work.cpu_us for work in report.works})
    _by_process(out, "memory, most, MiB", {_label(work): work.memory_mib for work in report.works})
    _batches(out, report)
    found = table("target", "", "measured", "")
    for row in targets.rows([report]):
        found.add_row(row.work, row.target, row.measured, _MET[row.is_met])
    out.print(found)
    _books(out, report)


def _works(out: Console, report: Report) -> None:
    names = ("work", ">settled", ">/s", ">to pgbench", ">p50 ms", ">p95", ">p99", ">max", ">ledger p99", ">audit p99")
    rows = table(*names, ">generator", ">others")
    for work in report.works:
        ratio = f"{work.settled_per_s / report.pgbench.transactions_per_s:.2f}" if report.pgbench else ""
        latencies = (f"{ms:.1f}" for ms in (work.p50_ms, work.p95_ms, work.p99_ms, work.max_ms))
        lags = (f"{work.ledger_lag.p99:.0f}", f"{work.audit_lag.p99:.0f}")
        shares = (f"{work.generator_share:.0%}", f"{work.elsewhere_share:.0%}")
        rows.add_row(_label(work), f"{work.settled:,}", f"{work.settled_per_s:,.0f}", ratio, *latencies, *lags, *shares)
    out.print(rows)
    for work in report.works:
        for line in _odd(work):
            out.print(f"{_label(work)}: {line}", style="yellow", highlight=False, markup=False)


def _odd(work: WorkReport) -> Iterable[str]:
    """What a reader should know before he believes the figure."""
    if bad := {status: found.count for status, found in work.answers.items() if status not in {200, 201}}:
        yield "answers " + ", ".join(f"{count:,} of {status or 'none'}" for status, count in bad.items())
    if work.failed or work.blocked:
        yield f"{work.failed:,} failed, {work.blocked:,} blocked"
    if work.missing:
        yield f"{work.missing:,} completed and NOT booked"


def _by_process(out: Console, title: str, by_work: Mapping[str, Mapping[str, float]]) -> None:
    names = list(dict.fromkeys(name for found in by_work.values() for name in found))
    rows = table(title, *(f">{name}" for name in names))
    for label, found in by_work.items():
        rows.add_row(label, *(f"{found[name]:,.0f}" if name in found else "" for name in names))
    out.print(rows)


def _batches(out: Console, report: Report) -> None:
    queues = list(dict.fromkeys(queue for work in report.works for queue in work.batches))
    rows = table("items a batch, mean (up to)", *(f">{queue}" for queue in queues))
    for work in report.works:
        found = [work.batches.get(queue) for queue in queues]
        cells = (f"{one.mean:,.0f} ({one.up_to or float('inf'):,.0f})" if one else "" for one in found)
        rows.add_row(_label(work), *cells)
    out.print(rows)


def _books(out: Console, report: Report) -> None:
    show_results(out, "invariant", report.checks)
    if report.broken:
        out.print(f"broken off: {report.broken}", style="yellow", highlight=False, markup=False)
    verdict = "every transfer is booked, the books hold" if report.ok else "NOT everything holds"
    out.print(f"commit {report.commit}, {report.cores} cores, load average {report.load_average} before: {verdict}")


def _label(work: WorkReport) -> str:
    return f"{work.name}, {work.variant}" if work.variant else work.name
