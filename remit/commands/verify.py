"""`remit verify`: every invariant over the whole book."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

import msgspec
from rich.console import Console

from remit.console import console, show_results
from remit.environment import Settings
from remit.errors import EXIT_CATCHING_UP, EXIT_FAILED, EXIT_OK
from remit.invariants import Result, Status, check_all, worst

_POLL_EVERY_S = 0.5
EXIT_CODES = {Status.OK: EXIT_OK, Status.CATCHING_UP: EXIT_CATCHING_UP, Status.BREACH: EXIT_FAILED}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit verify` takes."""
    parser.add_argument("--json", action="store_true", help="one JSON document instead of a table")
    parser.add_argument("--strict", action="store_true", help="an open dead letter is a breach, too")
    parser.add_argument(
        "--wait-s", type=float, default=30.0, help="how long ledger and audit may catch up (default %(default)s)"
    )


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Checks until nothing is on its way any more, or the time is up, and prints the last results."""
    deadline_s = time.monotonic() + arguments.wait_s
    while True:
        begun_s = time.monotonic()
        results = await check_all(settings.environment, strict=arguments.strict)
        if worst(results) is not Status.CATCHING_UP or time.monotonic() > deadline_s:
            break
        await asyncio.sleep(_POLL_EVERY_S)
    if arguments.json:
        sys.stdout.write(_document(results))
    else:
        _show(console(), results, time.monotonic() - begun_s)
    return EXIT_CODES[worst(results)]


def _document(results: Sequence[Result]) -> str:
    document = {"status": worst(results), "invariants": results}
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _show(out: Console, results: Sequence[Result], elapsed_s: float) -> None:
    show_results(out, "invariant", results, with_seconds=True)
    out.print(f"{len(results)} invariants in {elapsed_s:.1f} s", highlight=False)
