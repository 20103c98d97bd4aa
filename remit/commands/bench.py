"""`remit bench`: what a private Remit does on this machine, and what it costs; a lost cent is a failure."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from remit.bench import campaign, page, report, targets, terminal
from remit.bench.report import Report
from remit.bench.runs import Plan
from remit.bench.works import WORKS, chosen
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError

_CUSTOMERS = 10_000
_COUNT_MAX = 100_000_000
_MINUTES_MAX = 24 * 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit bench` takes."""
    parser.add_argument(
        "--works", default="", help="only these, separated by commas; default all, or none where a longer one is chosen"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each work goes on (default %(default)s)")
    parser.add_argument("--customers", type=int, default=_CUSTOMERS, help="owners and accounts (default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws who pays whom (default %(default)s)")
    parser.add_argument("--without-pgbench", action="store_true", help="no pgbench, and so no ratios")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    parser.add_argument(
        "--into", type=Path, metavar="FOLDER", help="write bench.json and bench.html there; with --table: a page"
    )
    parser.add_argument("--table", type=Path, nargs="+", metavar="JSON", help="only the table over these reports")
    parser.add_argument("--list", action="store_true", help="list the works, and do nothing")
    longer = parser.add_argument_group("longer ones")
    longer.add_argument("--book", type=int, default=0, metavar="N", help="again with N transfers on the book")
    longer.add_argument("--workers", action="store_true", help="with 2 and 3 transfer workers, with 2 fraud workers")
    longer.add_argument("--soak", type=float, default=0.0, metavar="MINUTES", help="half the peak, memory watched")
    longer.add_argument("--verify-entries", type=int, default=0, metavar="N", help="verify an account of N entries")
    longer.add_argument("--verify-book", type=int, default=0, metavar="N", help="verify a book of N transfers")


async def run(arguments: argparse.Namespace, _settings: Settings) -> int:
    """One run; 1 if the books do not hold."""
    out = console()
    if arguments.list:
        return _list(out)
    if arguments.table:
        return _table([report.read_json(path) for path in arguments.table], arguments.into)
    found = await campaign.run(_plan(arguments), lambda text: print(text, file=sys.stderr, flush=True))
    if arguments.into:
        report.write_json(found, arguments.into / "bench.json")
        page.write(found, arguments.into / "bench.html")
    if arguments.json:
        sys.stdout.buffer.write(report.encode(found))
    else:
        terminal.show(out, found)
    return EXIT_OK if found.ok else EXIT_FAILED


def _table(reports: Sequence[Report], into: Path | None) -> int:
    if into is None:
        sys.stdout.write(targets.markdown(reports))
    else:
        targets.write_table(reports, into)
    return EXIT_OK


def _plan(arguments: argparse.Namespace) -> Plan:
    _check(arguments)
    names = [name.strip() for name in arguments.works.split(",") if name.strip()]
    longer = (arguments.book, arguments.workers, arguments.soak, arguments.verify_entries, arguments.verify_book)
    return Plan(
        works=chosen(names or ([] if any(longer) else list(WORKS))),
        seconds=arguments.seconds,
        customers=arguments.customers,
        seed=arguments.seed,
        with_pgbench=not arguments.without_pgbench,
        book=arguments.book,
        with_workers=arguments.workers,
        soak_minutes=arguments.soak,
        entries=arguments.verify_entries,
        verify_book=arguments.verify_book,
    )


def _check(arguments: argparse.Namespace) -> None:
    if not 1 <= arguments.seconds <= 3_600 or not 2 <= arguments.customers <= 1_000_000:
        raise CommandError("--seconds must be from 1 to 3600, --customers from 2 to 1000000", EXIT_USAGE)
    if not 0 <= arguments.soak <= _MINUTES_MAX:
        raise CommandError(f"--soak must be from 0 to {_MINUTES_MAX} minutes", EXIT_USAGE)
    if not all(0 <= count <= _COUNT_MAX for count in (arguments.book, arguments.verify_entries, arguments.verify_book)):
        raise CommandError(f"--book, --verify-entries, --verify-book: at most {_COUNT_MAX:,}", EXIT_USAGE)


def _list(out: Console) -> int:
    rows = table("work", "what is done")
    for work in WORKS.values():
        rows.add_row(work.name, work.does)
    out.print(rows)
    return EXIT_OK
