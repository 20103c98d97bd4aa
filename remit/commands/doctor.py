"""`remit doctor`: is this deployment in order, and what is to be done where it is not? It changes nothing."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich.console import Console
from rich.text import Text

from remit.console import console
from remit.doctor import Finding, Level, examine
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK

_STYLES = {Level.OK: "green", Level.NOTE: "yellow", Level.WRONG: "red"}
_INDENT = " " * 9

Found = Mapping[str, Sequence[Finding]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit doctor` takes."""
    parser.add_argument("--json", action="store_true", help="one JSON document instead of sentences")
    parser.add_argument("--quiet", action="store_true", help="only what is wrong, or worth knowing")
    parser.add_argument(
        "--timeout-s", type=float, default=20.0, help="how long to look at each area (default %(default)s)"
    )


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Looks at everything, and answers 0 only if nothing is wrong."""
    begun_s = time.monotonic()
    found = await examine(settings.environment, area_timeout_s=arguments.timeout_s)
    wrongs = _count(found, Level.WRONG)
    if arguments.json:
        sys.stdout.write(_document(found, healthy=not wrongs))
    else:
        _show(console(), found, quiet=arguments.quiet)
        print(f"{wrongs} wrong, {_count(found, Level.NOTE)} to know, in {time.monotonic() - begun_s:.1f} s")
    return EXIT_FAILED if wrongs else EXIT_OK


def _count(found: Found, level: Level) -> int:
    return sum(finding.level is level for findings in found.values() for finding in findings)


def _document(found: Found, *, healthy: bool) -> str:
    document = {"healthy": healthy, "areas": found}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _show(out: Console, found: Found, *, quiet: bool) -> None:
    for area, findings in found.items():
        shown = [finding for finding in findings if not quiet or finding.level is not Level.OK]
        if shown:
            out.print(Text(area, style="bold"))
        for line in _lines(shown):
            out.print(line, soft_wrap=True)


def _lines(findings: Iterable[Finding]) -> Iterable[Text]:
    for finding in findings:
        style = _STYLES[finding.level]
        yield Text.assemble("  ", (f"{finding.level.value:<7}", style), finding.says)
        if finding.do:
            yield Text(f"{_INDENT}do: {finding.do}", style="dim")
