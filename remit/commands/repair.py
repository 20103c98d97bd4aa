"""`remit repair`: what downstream has not seen is emitted again, from the rows that stand for it.

So is what Redis has told clients and a database that was restored to an earlier moment does not know.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_CATCHING_UP, EXIT_OK
from services.fraud import reconcile as fraud
from services.gateway import repair as gateway
from services.transfer import reconcile as transfer
from shared.settings import Environment

# Time for the consumers to take what was emitted, before it is judged missing once more.
_SETTLE_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit repair` takes."""
    parser.add_argument("--wait", action="store_true", help="go on until nothing is missing any more")
    parser.add_argument(
        "--wait-s", type=float, default=60.0, help="with --wait: at most this long (default %(default)s)"
    )


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Emits once, or again and again until nothing is missing."""
    out, deadline_s = console(), time.monotonic() + arguments.wait_s
    while True:
        emitted = await _emit(settings.environment)
        rows = table("taken up again by", ">items")
        for service, count in emitted.items():
            rows.add_row(service, f"{count:,}")
        out.print(rows)
        if not arguments.wait or not any(emitted.values()):
            return EXIT_OK
        if time.monotonic() + _SETTLE_S > deadline_s:
            out.print("something is still missing; are all consumers running?")
            return EXIT_CATCHING_UP
        await asyncio.sleep(_SETTLE_S)


async def _emit(environment: Environment) -> dict[str, int]:
    # In the order of a transfer's way: what one emits becomes the next one's work.
    taken_back = {"gateway": await gateway.repair(environment)} if environment.get("REMIT_REDIS_URL") else {}
    return {**taken_back, "fraud": await fraud.repair(environment), "transfer": await transfer.repair(environment)}
