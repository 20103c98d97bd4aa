"""`remit audit`: the log as its owner keeps it: verified, and its old months put away."""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path

from remit.archives.detaching import archive, compare, months_before
from remit.archives.files import Manifest, check
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from shared.audit_chain.stream import open_stream
from shared.audit_chain.views import LogViews
from shared.audit_chain.walk import verify
from shared.database import Database, open_database
from shared.settings import Environment, address_if_set, checkpoint_url, owner_postgres_url

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_PAGE_ROWS = 5_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit audit` takes."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    acts.add_parser("verify", help="walk the whole chain, against every checkpoint inside and outside the database")
    put_away = acts.add_parser("archive", help="detach old months into archives that can be verified")
    put_away.add_argument("--before", required=True, metavar="YYYY-MM", help="only months before this one")
    put_away.add_argument("--to", required=True, metavar="DIR", type=Path, help="where archives go, a folder a month")
    proved = acts.add_parser("verify-archive", help="prove an archive, row by row, and that the log remembers it so")
    proved.add_argument("folder", metavar="DIR", type=Path, help="the folder of one month")
    proved.add_argument("--offline", action="store_true", help="prove the files alone; ask no database")


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Does one of them."""
    act: Callable[[argparse.Namespace, Environment], Awaitable[int]] = _ACTS[arguments.act]
    return await act(arguments, settings.environment)


async def _verify(_: argparse.Namespace, environment: Environment) -> int:
    out, begun_s = console(), time.monotonic()
    url = checkpoint_url(environment) or address_if_set(environment, "REMIT_REDIS_URL")
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_owner(environment))
        sent = await (await stack.enter_async_context(open_stream(url))).read() if url else {}
        found = await verify(LogViews(database), sent=sent, page_rows=_PAGE_ROWS)
    elapsed_s = time.monotonic() - begun_s
    out.print(
        f"{found.status}: {found.rows:,} rows, {found.archived_rows:,} more in archives, {len(sent):,} checkpoints "
        f"from outside, {elapsed_s:.1f} s",
        highlight=False,
    )
    if found.first_bad is None:
        return EXIT_OK
    out.print(f"row {found.first_bad.seq}: {found.first_bad.reason}", style="red", highlight=False)
    return EXIT_FAILED


async def _archive(arguments: argparse.Namespace, environment: Environment) -> int:
    before, out = month_of(arguments.before), console()
    if before > datetime.now(UTC).date():
        raise CommandError("--before: only months that are over can be archived", EXIT_USAGE)
    rows = table("month", ">rows", ">first", ">last", ">MB", "folder")
    async with _owner(environment) as database:
        for month in await months_before(database, before):
            folder = arguments.to / f"audit_logs_{month:%Y_%m}"
            made = await archive(database, month, folder)
            rows.add_row(*(_line(made, folder) if made else (f"{month:%Y-%m}", "0", "", "", "", "nothing to archive")))
    out.print(rows)
    return EXIT_OK


async def _verify_archive(arguments: argparse.Namespace, environment: Environment) -> int:
    manifest = await asyncio.to_thread(check, arguments.folder)
    if not arguments.offline:
        async with _owner(environment) as database:
            if difference := await compare(database, manifest):
                raise CommandError(difference)
    console().print(
        f"verified: {manifest.month}, {manifest.rows:,} rows, {manifest.first_seq:,} to {manifest.last_seq:,}",
        highlight=False,
    )
    return EXIT_OK


_ACTS: dict[str, Callable[[argparse.Namespace, Environment], Awaitable[int]]] = {
    "verify": _verify,
    "archive": _archive,
    "verify-archive": _verify_archive,
}


def month_of(text: str) -> date:
    """The first day of a month written as YYYY-MM.

    Raises:
        CommandError: it is no month.
    """
    match = _MONTH.fullmatch(text)
    if match is None or match[1] == "0000":
        raise CommandError(f"--before: {text!r} is not a month like 2026-03", EXIT_USAGE)
    return date(int(match[1]), int(match[2]), 1)


def _owner(environment: Environment) -> AbstractAsyncContextManager[Database]:
    url = owner_postgres_url(environment, "audit")
    return open_database(url, name="remit audit", schema="audit", connections_max=2)


def _line(made: Manifest, folder: Path) -> tuple[str, ...]:
    megabytes = f"{made.file_bytes / 1e6:,.1f}"
    return made.month, f"{made.rows:,}", f"{made.first_seq:,}", f"{made.last_seq:,}", megabytes, str(folder)
