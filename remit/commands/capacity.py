"""`remit capacity`: how many of each a rate needs, and what is full first, from what a bench has measured."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from remit.capacity.figures import SHIPPED, Figures, Work, read
from remit.capacity.plan import Plan, machine_per_s, plan
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError

_RATE_MAX = 1_000_000
_LOAD = 0.7
# Above it the machine was not the bench's own, and a transfer seems dearer than it is.
_ELSEWHERE_MAX = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit capacity` takes."""
    parser.add_argument("--rate", type=float, required=True, help="settled transfers a second")
    parser.add_argument(
        "--work", default="single", help="what clients do, as `remit bench --list` names it (default %(default)s)"
    )
    parser.add_argument(
        "--load",
        type=float,
        default=_LOAD,
        help="share of a core that may be used, the rest is for peaks (%(default)s)",
    )
    parser.add_argument(
        "--report", type=Path, default=SHIPPED, metavar="JSON", help="bench.json of your machine (default: shipped)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")


async def run(arguments: argparse.Namespace, _settings: Settings) -> int:
    """Prints the plan; 1 if no number of instances gives the rate."""
    _check(arguments)
    figures = read(arguments.report)
    work = figures.work(arguments.work)
    try:
        found = plan(work, arguments.rate, arguments.load)
    except (KeyError, ZeroDivisionError):
        raise CommandError(
            f"{arguments.report} does not say what each part of {work.name!r} cost", EXIT_USAGE
        ) from None
    if arguments.json:
        sys.stdout.write(_document(found, work, figures))
    else:
        _show(console(), found, work, figures)
    return EXIT_OK if found.reachable else EXIT_FAILED


def _check(arguments: argparse.Namespace) -> None:
    if not (math.isfinite(arguments.rate) and 0 < arguments.rate <= _RATE_MAX):
        raise CommandError(f"--rate must be above 0 and at most {_RATE_MAX:,} transfers a second", EXIT_USAGE)
    if not 0 < arguments.load <= 1:
        raise CommandError("--load must be above 0 and at most 1: a share of a core", EXIT_USAGE)


def _document(found: Plan, work: Work, figures: Figures) -> str:
    measured = {
        "commit": figures.commit,
        "finished_at": figures.finished_at,
        "machine": figures.machine,
        "cores": figures.cores,
        "work": work.name,
        "settled_per_s": work.settled_per_s,
        "elsewhere_share": work.elsewhere_share,
    }
    return msgspec.json.format(msgspec.json.encode({"plan": found, "measured": measured}), indent=2).decode() + "\n"


def _show(out: Console, found: Plan, work: Work, figures: Figures) -> None:
    rows = table("part", ">µs a transfer", ">cores", ">instances", ">one carries /s", "")
    for part in found.parts:
        count = "" if part.instances is None else str(part.instances)
        rows.add_row(part.part, f"{part.cpu_us:.1f}", f"{part.cores:.2f}", count, f"{part.each_per_s:,}", part.note)
    out.print(rows)
    for line in _sentences(found, work, figures):
        out.print(line, highlight=False)


def _sentences(found: Plan, work: Work, figures: Figures) -> Iterator[str]:
    if not found.reachable:
        cannot = f"{found.rate_per_s:,.0f} a second cannot be had: {found.last} ends at {found.most_per_s:,}"
        yield f"{cannot}, however many there are. See docs/scaling.md."
    yield f"{found.rate_per_s:,.0f} a second take {found.cores:.1f} cores, none used for more than {found.load:.0%}."
    first = f"With one of each, {found.first} is full first, at {found.first_per_s:,} a second"
    yield f"{first}; with as many as it takes, {found.last}, at {found.most_per_s:,}."
    where = f"commit {figures.commit}, {figures.finished_at[:10]}, {figures.machine}, {figures.cores} cores"
    yield f"Measured: {work.does}; {where}."
    bound_per_s = machine_per_s(work, figures.cores)
    share = f"{work.settled_per_s / bound_per_s:.0%} of the {bound_per_s:,.0f}"
    yield f"It settled {work.settled_per_s:,.0f} a second there, {share} that these figures give those cores."
    if work.elsewhere_share > _ELSEWHERE_MAX:
        yield f"Others took {work.elsewhere_share:.0%} of the machine meanwhile: measure again on one that is quiet."
