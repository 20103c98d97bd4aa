"""`remit prove`: breaks a private Remit by a seed while clients use it, and shows that nothing was lost or doubled."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from remit.prove import campaign, report
from remit.prove.campaign import Plan
from remit.prove.nemesis import NEMESES
from remit.prove.report import Report

_CLIENTS = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit prove` takes."""
    parser.add_argument("--minutes", type=float, default=5.0, help="how long faults go on (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws workload and faults (default %(default)s)")
    parser.add_argument("--clients", type=int, default=_CLIENTS, help="clients at work (default %(default)s)")
    parser.add_argument("--faults", default="", help="only these, separated by commas (default: all)")
    parser.add_argument("--json", type=Path, help="write the report as JSON to this file")
    parser.add_argument(
        "--logs", type=Path, default=Path("prove-logs"), help="where to put the logs if something does not hold"
    )
    parser.add_argument("--list", action="store_true", help="list the faults, and do nothing")
    parser.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="only print the table over these reports")
    parser.add_argument("--into", type=Path, metavar="PAGE", help="with --table: put it between the marks of this page")


async def run(arguments: argparse.Namespace, _settings: Settings) -> int:
    """One campaign; 1 if anything did not hold."""
    out = console()
    if arguments.list:
        return _list(out)
    if arguments.table:
        return _table([report.read_json(path) for path in arguments.table], arguments.into)
    outcome = await campaign.run(_plan(arguments), lambda text: out.print(text, highlight=False, markup=False))
    found = report.report_of(outcome)
    if arguments.json:
        report.write_json(found, arguments.json)
    report.show(out, found)
    return EXIT_OK if found.ok else EXIT_FAILED


def _table(reports: Sequence[Report], page: Path | None) -> int:
    if page is None:
        sys.stdout.write(report.markdown(reports))
    else:
        report.write_table(reports, page)
    return EXIT_OK


def _plan(arguments: argparse.Namespace) -> Plan:
    chosen: Sequence[str] = [name.strip() for name in arguments.faults.split(",") if name.strip()] or list(NEMESES)
    if unknown := [name for name in chosen if name not in NEMESES]:
        raise CommandError(f"no such fault: {', '.join(unknown)} (`remit prove --list`)", EXIT_USAGE)
    if arguments.minutes <= 0 or not 1 <= arguments.clients <= 200:
        raise CommandError("--minutes must be above zero, --clients from 1 to 200", EXIT_USAGE)
    return Plan(
        seed=arguments.seed,
        duration_s=arguments.minutes * 60,
        clients=arguments.clients,
        nemeses=tuple(chosen),
        logs=arguments.logs,
    )


def _list(out: Console) -> int:
    rows = table("fault", "what is done", "what holds all the same")
    for nemesis in NEMESES.values():
        rows.add_row(nemesis.name, nemesis.does, nemesis.promises)
    out.print(rows)
    return EXIT_OK
