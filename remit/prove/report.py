"""What a campaign showed: for a person, as JSON, and as the table of docs/reliability.md."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from rich.console import Console

from remit import pages
from remit.console import show_results, table
from remit.invariants import Result
from remit.prove.campaign import Met, Outcome
from remit.prove.history import Fate
from remit.prove.nemesis import NEMESES


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign, whole. Times in seconds."""

    seed: int
    minutes: float
    commit: str
    finished_at: str
    machine: str
    ok: bool
    work_s: float
    faults: Sequence[Met]
    # Transfers by what clients know of them in the end; answers by status or by what became of the connection.
    transfers: Mapping[str, int]
    answers: Mapping[str, int]
    checks: Sequence[Result]


def report_of(outcome: Outcome) -> Report:
    """The report of a campaign that has just ended."""
    fates = outcome.history.by_fate()
    return Report(
        seed=outcome.plan.seed,
        minutes=round(outcome.plan.duration_s / 60, 2),
        commit=pages.commit(),
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        ok=outcome.ok,
        work_s=round(outcome.work_s, 1),
        faults=outcome.met,
        transfers={fate.value: fates[fate] for fate in Fate},
        answers=dict(sorted(outcome.history.answers.items())),
        checks=outcome.results,
    )


def write_json(report: Report, path: Path) -> None:
    """The report as one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def read_json(path: Path) -> Report:
    """A report that was written."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


def show(out: Console, report: Report) -> None:
    """The report for a person."""
    faults = table("fault", "whom", "with", ">at s", ">held s", ">recovery s")
    for met in report.faults:
        held_s = met.healed_s - met.at_s
        together = ", ".join(met.together_with)
        faults.add_row(met.name, met.whom, together, f"{met.at_s:.0f}", f"{held_s:.1f}", f"{met.recovery_s:.1f}")
    out.print(faults)
    show_results(out, "check", report.checks)
    out.print(_sentence(report), highlight=False)


def _sentence(report: Report) -> str:
    transfers = sum(report.transfers.values())
    verdict = "everything held" if report.ok else "NOT everything held"
    worst_s = max((met.recovery_s for met in report.faults), default=0.0)
    return (
        f"seed {report.seed}, {report.work_s:.0f} s, {len(report.faults)} faults, {transfers:,} transfers "
        f"({report.transfers['completed']:,} completed, {report.transfers['refused']:,} refused), "
        f"slowest recovery {worst_s:.1f} s: {verdict}"
    )


def markdown(reports: Sequence[Report]) -> str:
    """The table of docs/reliability.md over several campaigns."""
    by_fault: dict[str, list[Met]] = defaultdict(list)
    for report in reports:
        for met in report.faults:
            by_fault[met.name].append(met)
    rows = [_row(name, met, all(report.ok for report in reports)) for name, met in sorted(by_fault.items())]
    return "\n".join([*_head(reports), *rows, ""])


def write_table(reports: Sequence[Report], page: Path) -> None:
    """The table, between its marks on a page."""
    pages.write_table(page, markdown(reports))


def _head(reports: Sequence[Report]) -> Iterable[str]:
    transfers = sum(sum(report.transfers.values()) for report in reports)
    seeds = ", ".join(str(report.seed) for report in reports)
    commits = ", ".join(sorted({report.commit for report in reports}))
    yield f"Seeds {seeds}; {transfers:,} transfers; commit {commits}; {max(r.finished_at for r in reports)};"
    yield f"{reports[0].machine}."
    yield ""
    yield "| fault | what is done | what holds all the same | runs | lost | doubled | recovery s, median / worst |"
    yield "|---|---|---|--:|--:|--:|--:|"


def _row(name: str, met: Sequence[Met], held: bool) -> str:
    nemesis, seconds = NEMESES[name], sorted(one.recovery_s for one in met)
    counted = "0" if held else "see the checks"
    middle_s, worst_s = seconds[len(seconds) // 2], seconds[-1]
    return (
        f"| {name} | {nemesis.does} | {nemesis.promises} | {len(met)} | {counted} | {counted} "
        f"| {middle_s:.1f} / {worst_s:.1f} |"
    )
