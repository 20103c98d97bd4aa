"""What a run of `remit bench` comes to: its report, its targets, its page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from remit.bench import page, svg, targets
from remit.bench.load import Summary
from remit.bench.pgbench import Baseline
from remit.bench.report import (
    LagMs,
    Report,
    Timing,
    WorkReport,
    encode,
    growth,
    read_json,
    report_of,
    thinned,
    write_json,
)
from remit.invariants import Result, Status


def test_growth_leaves_the_warming_up_out() -> None:
    """The first quarter does not count; one outlier says nothing."""
    assert growth([1, 1, 10, 10, 10, 99, 10, 10, 12, 12, 12, 12]) == 2
    assert growth([1, 2]) == 0
    assert len(thinned(list(range(1000)))) <= 300


def _work(name: str, settled_per_s: float, *, variant: str = "", missing: int = 0, **more: Any) -> WorkReport:
    lag = LagMs(p50=20, p99=200, max=300)
    figures: dict[str, Any] = {
        "name": name, "does": f"{name} <of> them", "variant": variant, "connections": 128, "seconds": 10, "rate": None,
        "settled": 100, "missing": missing, "failed": 0, "blocked": 0, "settled_per_s": settled_per_s,
        "answers": {201: Summary(count=100, p50_ms=1, p95_ms=1, p99_ms=1, max_ms=1)}, "p50_ms": 7, "p95_ms": 9,
        "p99_ms": 149, "max_ms": 200, "good_ms": [1.0, 2.0], "per_second": [50, 50], "ledger_lag": lag,
        "audit_lag": lag, "cpu_us": {"gateway": 170.0}, "memory_mib": {"gateway": 100.0},
        "growth_mib": {"gateway": 1.0}, "memory_series_mib": {"gateway": [99.0, 100.0]}, "batches": {},
        "generator_share": 0.1, "late_p99_ms": 1, "elsewhere_share": 0.2,
    }  # fmt: skip
    return WorkReport(**{**figures, **more})


def _report(
    *works: WorkReport, checks: list[Result] | None = None, timings: tuple[Timing, ...] = (), broken: str = ""
) -> Report:
    holds = [Result(name="conserved", status=Status.OK, figure="1 < 2")]
    return report_of(
        customers=10,
        load_average=0.5,
        pgbench=Baseline(scale=50, clients=8, seconds=10, transactions_per_s=4000, latency_ms=2),
        works=works,
        timings=timings,
        storage={"transfer": 900.0, "identity": 0.0},
        peak={"gateway": 119 * 1024 * 1024, "redis": 500 * 1024 * 1024},
        checks=holds if checks is None else checks,
        broken=broken,
    )


@pytest.mark.parametrize(
    ("report", "ok"),
    [
        (_report(_work("single", 2000)), True),
        (_report(_work("single", 2000, missing=1)), False),
        (_report(_work("single", 0, settled=0)), False),
        (_report(_work("single", 1), checks=[Result(name="x", status=Status.BREACH, figure="")]), False),
        (_report(_work("single", 1), checks=[Result(name="x", status=Status.CATCHING_UP, figure="")]), False),
        (_report(_work("single", 1), checks=[]), False),
        (_report(_work("single", 1), broken="the book does not grow"), False),
    ],
    ids=["whole", "one not booked", "nothing done", "breach", "never caught up", "not checked", "broken off"],
)
def test_a_run_is_well_only_if_all_is_booked_and_the_books_hold(report: Report, *, ok: bool) -> None:
    assert report.ok is ok


@pytest.mark.parametrize(
    ("works", "met"),
    [
        ([_work("single", 2000)], [True, True]),
        ([_work("single", 1999)], [False, True]),
        ([_work("single", 2000, p99_ms=150.1)], [True, False]),
        ([_work("batch", 12_000)], [True]),
        ([_work("batch", 11_999)], [False]),
        ([_work("half", 500)], [True, True]),
        ([_work("idle", 100, p50_ms=8.1, p99_ms=20)], [False, True]),
        # No good answer is no fast answer.
        ([_work("idle", 0, p50_ms=0, p99_ms=0)], [False, False]),
    ],
)
def test_a_target_is_met_or_missed(works: list[WorkReport], met: list[bool]) -> None:
    found = [row.is_met for row in targets.rows([_report(*works)]) if not row.work.startswith(("memory", "storage"))]
    assert found == met


@pytest.mark.parametrize(
    ("other", "met"),
    [
        (_work("hot", 1800), True),
        (_work("hot", 1799), False),
        (_work("single", 1700, variant="after 5,000,000 transfers"), True),
        (_work("single", 1699, variant="after 5,000,000 transfers"), False),
        (_work("single", 1900, variant="2 transfer workers"), True),
        (_work("single", 1899, variant="2 transfer workers"), False),
    ],
)
def test_a_share_is_of_the_same_work_in_the_same_run(other: WorkReport, *, met: bool) -> None:
    rows = [row for row in targets.rows([_report(_work("single", 2000), other)]) if "/s, 0." in row.measured]
    assert [row.is_met for row in rows if "pgbench" not in row.measured] == [met]


def test_memory_counts_services_and_not_servers() -> None:
    """What Redis holds is its data; a service holds none."""
    [row] = [row for row in targets.rows([_report(_work("idle", 1))]) if row.work.startswith("memory")]
    assert row.is_met
    assert "redis" not in row.measured


@pytest.mark.parametrize(
    ("minutes", "grown_mib", "met"), [(15, 2.9, True), (15, 3.1, False), (1, 0.0, None)], ids=["flat", "grows", "short"]
)
def test_memory_is_flat_only_if_it_was_watched_for_long_enough(
    minutes: float, grown_mib: float, *, met: bool | None
) -> None:
    work = _work("soak", 500, seconds=minutes * 60, growth_mib={"gateway": grown_mib, "redis": 99.0})
    [row] = [row for row in targets.rows([_report(work)]) if row.work.startswith("memory over")]
    assert row.is_met is met


def test_the_table_goes_between_its_marks_and_says_when_and_what(tmp_path: Path) -> None:
    report, target = (
        _report(_work("single", 1000), timings=(Timing(what="v", figure="f", seconds=2, target_s=1),)),
        tmp_path,
    )
    path = target / "performance.md"
    path.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    targets.write_table([report], path)
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert report.commit in text
    assert report.finished_at in text
    assert "4,000/s" in text
    assert "| missed |" in text
    path.write_text("no marks")
    with pytest.raises(ValueError, match="has no"):
        targets.write_table([report], path)


def test_a_report_is_read_as_it_was_written(tmp_path: Path) -> None:
    report = _report(_work("single", 1000))
    write_json(report, tmp_path / "new" / "bench.json")
    read = read_json(tmp_path / "new" / "bench.json")
    assert msgspec.json.decode(encode(read)) == msgspec.json.decode(encode(report))


def test_the_page_escapes_what_it_is_told_and_fetches_nothing() -> None:
    text = page.render(_report(_work("single", 1000), _work("soak", 500)))
    assert "single <of>" not in text
    assert "1 &lt; 2" in text
    assert "http" not in text
    assert "<script" not in text
    assert text.count("<svg") == 4


@pytest.mark.parametrize("most", [0.0, 0.4, 1.0, 99.0, 100.0, 101.0, 7_300.0])
def test_an_axis_begins_at_zero_and_reaches_the_largest_value(most: float) -> None:
    """Nothing is cut off, and nothing is made to look larger by an axis that begins above zero."""
    drawn = svg.lines({"it": [(0.0, 0.0), (1.0, most)]}, x="s", y="/s")
    [points] = [part.split('points="')[1].split('"')[0] for part in drawn.split("<polyline")[1:]]
    (_, zero), (_, top) = (map(float, point.split(",")) for point in points.split(" "))
    assert zero == 276.0
    assert 16.0 <= top <= 276.0
    assert svg.ticks(10)[0] == 0


def test_bars_are_as_long_as_the_sum_of_their_parts() -> None:
    drawn = svg.bars({"a": {"x": 10.0, "y": 30.0}, "b": {"y": 20.0}}, x="µs")
    widths = [float(part.split('width="')[1].split('"')[0]) for part in drawn.split("<rect ") if "<title>" in part]
    assert widths[1] == pytest.approx(3 * widths[0], abs=0.2)
    assert widths[3] == pytest.approx(2 * widths[0], abs=0.2)
    begins = [float(part.split('x="')[1].split('"')[0]) for part in drawn.split("<rect ") if "<title>" in part]
    assert begins[1] == pytest.approx(begins[0] + widths[0], abs=0.2)
    assert begins[2] == begins[0]
