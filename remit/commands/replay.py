"""`remit replay`: a file of accounts and a file of transfers, through the public API, exactly once."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from statistics import median

from rich.console import Console

from remit.client import Credentials, open_client
from remit.commands.options import admin_credentials, api_url
from remit.console import console, metering, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError
from remit.replay.checkpoint import Checkpoint, state_folder
from remit.replay.figures import Figures, differences, read_expected
from remit.replay.files import check_transfers, open_source, read_accounts
from remit.replay.mapping import parse_map
from remit.replay.runner import Plan, Replay, Speed, sums

_BATCH_MAX = 1_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit replay` takes."""
    parser.add_argument("--accounts", type=Path, required=True, help="CSV of accounts with their opening balances")
    parser.add_argument("--transfers", type=Path, required=True, help="CSV of transfers, replayed in the file's order")
    parser.add_argument(
        "--map", default="remit", help="columns: remit, amlsim, a JSON object, or id=…,balance=…,from=…,to=…,amount=…"
    )
    parser.add_argument("--batch", type=int, default=_BATCH_MAX, help="items a call, 1 to 1000 (default %(default)s)")
    parser.add_argument("--currency", default="USD", help="where a file has no such column (default %(default)s)")
    parser.add_argument("--expect", type=Path, help="JSON of figures; exit 1 if others come out")
    parser.add_argument("--from-start", action="store_true", help="ask again also for what is known to have ended")


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Replays the files and prints what came out."""
    begun_s, out = time.monotonic(), console()
    expected = read_expected(arguments.expect) if arguments.expect else None
    credentials = admin_credentials(settings.environment)
    plan = _plan(arguments, api_url(settings.environment))
    figures, speed = await _replay(plan, credentials, None if arguments.from_start else _memory(settings), out)
    _summary(out, figures, speed, time.monotonic() - begun_s)
    wrong = differences(expected, figures) if expected else []
    if moved := _not_conserved(plan, figures):
        wrong.append(moved)
    for line in wrong:
        out.print(f"[red]{line}[/red]", highlight=False)
    if expected and not wrong:
        out.print("every figure is as expected")
    return EXIT_FAILED if wrong else EXIT_OK


def _plan(arguments: argparse.Namespace, url: str) -> Plan:
    if not 1 <= arguments.batch <= _BATCH_MAX:
        raise CommandError(f"--batch must be from 1 to {_BATCH_MAX}", EXIT_USAGE)
    columns, currency = parse_map(arguments.map), arguments.currency.upper()
    accounts_file = open_source(arguments.accounts, columns, currency)
    transfers = open_source(arguments.transfers, columns, currency)
    accounts = read_accounts(accounts_file)
    names = {account.account for account in accounts}
    return Plan(
        accounts=accounts,
        accounts_sha256=accounts_file.sha256,
        transfers=transfers,
        transfers_total=check_transfers(transfers, names.__contains__),
        batch_size=arguments.batch,
        api_url=url,
    )


def _memory(settings: Settings) -> Path:
    return state_folder(settings.local, os.environ.get("XDG_STATE_HOME"), Path.home())


async def _replay(plan: Plan, credentials: Credentials, memory: Path | None, out: Console) -> tuple[Figures, Speed]:
    checkpoint_for = None if memory is None else (lambda replay: Checkpoint(memory, replay))
    async with open_client(plan.api_url, credentials) as client:
        with metering(out) as meter:
            replay = Replay(client, plan, meter, checkpoint_for)
            return await replay.run(), replay.speed


def _summary(out: Console, figures: Figures, speed: Speed, elapsed_s: float) -> None:
    rows = table("", ">")
    rows.add_row("accounts", f"{figures.accounts:,}")
    rows.add_row("transfers", f"{figures.transfers:,}")
    rows.add_row("  completed", f"{figures.completed:,}")
    for reason, count in sorted(figures.refused.items()):
        rows.add_row(f"  refused, {reason}", f"{count:,}")
    for currency, total in figures.sum.items():
        rows.add_row(f"sum of balances, {currency}", total)
    rows.add_row("balances, SHA-256", figures.balances_sha256)
    if speed.skipped:
        rows.add_row("known from an earlier run", f"{speed.skipped:,}")
    if speed.batch_s:
        rows.add_row("transfers a second", f"{speed.sent / speed.elapsed_s:,.0f}")
        rows.add_row("a batch, median and longest", f"{median(speed.batch_s):.3f} s, {max(speed.batch_s):.3f} s")
    rows.add_row("wall time", f"{elapsed_s:.1f} s")
    out.print(rows)


def _not_conserved(plan: Plan, figures: Figures) -> str:
    """A replay moves money among its own accounts only, so their sum cannot change."""
    before = sums(plan.accounts, {account.account: account.opening_minor for account in plan.accounts})
    return "" if before == figures.sum else f"the sum of balances changed: {before} before, {figures.sum} after"
