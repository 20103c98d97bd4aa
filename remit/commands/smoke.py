"""`remit smoke`: a first deposit and a first transfer through everything, verified in the ledger."""

from __future__ import annotations

import argparse
import asyncio
import ipaddress
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from rich.console import Console

from remit.client import (
    Account,
    AsyncClient,
    Credentials,
    NewTransfer,
    Patience,
    Stage,
    Transfer,
    Verification,
    open_client,
)
from remit.commands.options import admin_credentials, api_url
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_OK

_CURRENCY = "USD"
_DEPOSIT, _AMOUNT = "100.00", "12.34"
_STAGES = frozenset({"gateway", "fraud", "transfer", "ledger", "audit"})
_POLL_EVERY_S = 0.05
# Audit follows the ledger; the timeline is shown without it if it takes longer than this.
_TIMELINE_WAIT_S = 5.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit smoke` takes."""
    parser.add_argument(
        "--url", help="the deployment to try; its operator's login comes from the environment, .local/env or .env"
    )
    parser.add_argument(
        "--wait-s", type=float, default=30.0, help="how long the ledger may take to follow (default %(default)s)"
    )


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The same API as two users."""

    user: AsyncClient
    admin: AsyncClient


@dataclass(frozen=True, kw_only=True)
class Story:
    """What happened. `asked_s` and `answered_s` on this machine's monotonic clock."""

    accounts: Sequence[Account]
    transfer: Transfer
    elapsed_s: float


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Makes the transfer, shows its way, and answers 0 only if both accounts are verified."""
    url, out = api_url(settings.environment), console()
    async with AsyncExitStack() as stack:
        clients = await _clients(stack, url, admin_credentials(settings.environment), arguments.wait_s)
        story = await _first_transfer(clients)
        verified = await _until_verified(clients.admin, story.accounts, arguments.wait_s)
        stages = await _timeline(clients.user, story.transfer.id)
        balances = [await clients.user.account(account.id) for account in story.accounts]
    _show_way(out, story, stages)
    _show_accounts(out, balances, verified)
    return EXIT_OK if all(account.status == "verified" for account in verified) else EXIT_FAILED


async def _clients(stack: AsyncExitStack, url: str, admin: Credentials, wait_s: float) -> Clients:
    own = own_address(url)
    patience = Patience(give_up_after_s=wait_s, pending_max_s=wait_s)
    email = f"smoke-{secrets.token_hex(8)}@example.com"
    user = Credentials(email=email, password=secrets.token_urlsafe(18))
    opened = [
        await stack.enter_async_context(open_client(url, who, patience=patience, local_address=own))
        for who in (user, admin)
    ]
    await opened[0].register(user.email, user.password, "First Transfer")
    return Clients(user=opened[0], admin=opened[1])


async def _first_transfer(clients: Clients) -> Story:
    run_id = secrets.token_hex(8)
    accounts = [
        await clients.user.open_account(name, _CURRENCY, key=f"smoke-{run_id}-{name.lower()}")
        for name in ("Spending", "Savings")
    ]
    await clients.admin.deposit(accounts[0].id, _DEPOSIT, _CURRENCY, key=f"smoke-{run_id}-deposit")
    order = NewTransfer(
        from_account_id=accounts[0].id,
        to_account_id=accounts[1].id,
        amount=_AMOUNT,
        currency=_CURRENCY,
        description="first transfer",
    )
    begun_s = time.monotonic()
    transfer = await clients.user.transfer(order, key=f"smoke-{run_id}-transfer")
    return Story(accounts=accounts, transfer=transfer, elapsed_s=time.monotonic() - begun_s)


async def _until_verified(admin: AsyncClient, accounts: Sequence[Account], wait_s: float) -> Sequence[Verification]:
    """Each account's verification: verified, or what it said last."""
    deadline_s = time.monotonic() + wait_s
    while True:
        found = [await admin.verify_account(account.id) for account in accounts]
        if all(one.status != "catching_up" for one in found) or time.monotonic() > deadline_s:
            return found
        await asyncio.sleep(_POLL_EVERY_S)


async def _timeline(user: AsyncClient, transfer_id: str) -> Sequence[Stage]:
    deadline_s = time.monotonic() + _TIMELINE_WAIT_S
    while True:
        stages = await user.timeline(transfer_id)
        if {stage.stage for stage in stages} >= _STAGES or time.monotonic() > deadline_s:
            return stages
        await asyncio.sleep(_POLL_EVERY_S)


def own_address(url: str) -> str | None:
    """A loopback address of our own for an API on IPv4 loopback, so that nobody's request quota is touched."""
    host = urlsplit(url).hostname or ""
    try:
        is_loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return None
    if not is_loopback:
        return None
    return f"127.{1 + secrets.randbelow(254)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"


def since_ms(begun: datetime, at: datetime) -> str:
    """Milliseconds between two moments, to a tenth."""
    return f"{(at - begun).total_seconds() * 1000:+.1f} ms"


def _show_way(out: Console, story: Story, stages: Sequence[Stage]) -> None:
    transfer = story.transfer
    out.print(
        f"transfer {transfer.id}: {transfer.amount} {transfer.currency} {transfer.status} "
        f"in {story.elapsed_s * 1000:.0f} ms",
        highlight=False,
    )
    rows = table("stage", ">since request", "detail")
    for stage in sorted(stages, key=lambda stage: stage.at):
        rows.add_row(stage.stage, since_ms(stages[0].at, stage.at), _text(stage.detail))
    out.print(rows)


def _show_accounts(out: Console, balances: Sequence[Account], verified: Sequence[Verification]) -> None:
    rows = table("account", ">balance", ">ledger", "", ">position")
    for account, one in zip(balances, verified, strict=True):
        balance = f"{account.balance} {account.currency}"
        rows.add_row(account.name, balance, one.ledger_balance, one.status, f"{one.ledger_position}/{one.account_seq}")
    out.print(rows)
    for one in verified:
        for check in one.checks:
            if not check.ok:
                out.print(f"{one.account_id}: {check.name}: {_text(check.detail)}", highlight=False)


def _text(detail: object) -> str:
    if isinstance(detail, dict):
        return ", ".join(f"{name} {value}" for name, value in detail.items() if value not in (None, [], ""))
    return "" if detail is None else str(detail)
