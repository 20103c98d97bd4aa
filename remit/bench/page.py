"""One page that holds a whole run: tables and plots, without anything fetched from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from remit.bench import svg, targets
from remit.bench.load import SHARES
from remit.bench.report import Report, WorkReport

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .2rem .7rem; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child, .words td { text-align: left; }
.met { color: #00704f; } .missed { color: #b03a00; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg .grid { stroke: #e4e4e4; } svg .axis { stroke: #444; }
"""


def write(report: Report, path: Path) -> None:
    """The page."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """HTML, whole and self-contained."""
    singles = {_label(work): work for work in report.works if "batch" not in work.does}
    batches = {_label(work): work for work in report.works if "batch" in work.does}
    parts = [
        f"<h1>remit bench</h1><p>{escape(_about(report))}</p>",
        "<h2>Works</h2>",
        _table(_WORK_HEAD, (_work_row(work) for work in report.works)),
        "<h2>Targets</h2>",
        _targets(report),
        *_plots("single transfers", singles),
        *_plots("batches", batches),
        *_cpu(report),
        *_memory(report),
        "<h2>Books</h2>",
        _table(("invariant", "", "figure"), ((one.name, one.status.value, one.figure) for one in report.checks)),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>remit bench</title>'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _about(report: Report) -> str:
    verdict = "the books hold" if report.ok else "THE BOOKS DO NOT HOLD"
    pgbench = f"; pgbench {report.pgbench.transactions_per_s:,.0f}/s" if report.pgbench else ""
    return (
        f"Commit {report.commit}, {report.finished_at}, {report.machine}, {report.cores} cores, load average "
        f"{report.load_average} before{pgbench}; {report.customers:,} customers; {verdict}. A transfer counts when its "
        "two entries and its audit rows are committed."
    )


_WORK_HEAD = (
    "work", "settled", "settled/s", "p50 ms", "p95 ms", "p99 ms", "max ms", "ledger p99 ms", "audit p99 ms",
    "generator", "others",
)  # fmt: skip


def _work_row(work: WorkReport) -> Sequence[str]:
    lags = (f"{work.ledger_lag.p99:.0f}", f"{work.audit_lag.p99:.0f}")
    latencies = (f"{ms:.1f}" for ms in (work.p50_ms, work.p95_ms, work.p99_ms, work.max_ms))
    shares = (f"{work.generator_share:.0%}", f"{work.elsewhere_share:.0%}")
    return (_label(work), f"{work.settled:,}", f"{work.settled_per_s:,.0f}", *latencies, *lags, *shares)


def _targets(report: Report) -> str:
    said = {True: ("met", "met"), False: ("missed", "missed"), None: ("", "")}
    body = "".join(
        f'<tr class="words"><td>{escape(row.work)}</td><td>{escape(row.target)}</td><td>{escape(row.measured)}</td>'
        f'<td class="{said[row.is_met][0]}">{said[row.is_met][1]}</td></tr>'
        for row in targets.rows([report])
    )
    return f"<table>{body}</table>"


def _plots(what: str, works: Mapping[str, WorkReport]) -> Iterable[str]:
    if not works:
        return
    yield f"<h2>Latency of {what}</h2>"
    percents = [share * 100 for share in SHARES]
    latencies = {name: list(zip(percents, work.good_ms, strict=False)) for name, work in works.items()}
    yield svg.lines(latencies, x="share of requests, %", y="answered within, ms")
    yield f"<h2>Throughput of {what}</h2>"
    # A second that the run only began or ended in would look like a slump.
    series = {name: _whole_seconds(work.per_second) for name, work in works.items()}
    yield svg.lines(series, x="seconds since the first request", y="settled in that second")


def _whole_seconds(per_second: Sequence[int]) -> list[tuple[float, float]]:
    return [(second + 0.5, float(count)) for second, count in enumerate(per_second[:-1] or per_second)]


def _cpu(report: Report) -> Iterable[str]:
    # With one request at a time processes mostly wait; what that costs would hide the others.
    shown = {_label(work): _by_service(work.cpu_us) for work in report.works if work.connections > 1}
    if shown:
        yield "<h2>CPU by process</h2>"
        yield svg.bars(shown, x="µs of CPU a settled transfer")


def _by_service(cpu_us: Mapping[str, float]) -> dict[str, float]:
    """All instances of a service together."""
    added: dict[str, float] = {}
    for process, spent in cpu_us.items():
        service = process.partition("-")[0]
        added[service] = added.get(service, 0.0) + spent
    return added


def _memory(report: Report) -> Iterable[str]:
    for work in report.works:
        if work.name == "soak":
            yield "<h2>Memory at half load</h2>"
            minutes = work.seconds / 60
            series = {
                name: [(n * minutes / max(1, len(held) - 1), mib) for n, mib in enumerate(held)]
                for name, held in work.memory_series_mib.items()
            }
            yield svg.lines(series, x="minutes", y="memory, MiB")


def _label(work: WorkReport) -> str:
    return f"{work.name}, {work.variant}" if work.variant else work.name


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{body}</table>"
