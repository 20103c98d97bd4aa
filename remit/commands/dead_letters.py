"""`remit dead-letters`: what the services could not carry; list it, look at it, try it again or give it up."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from rich.console import Console

from remit.client import AsyncClient, DeadLetter, open_client
from remit.commands.options import admin_credentials, api_url
from remit.console import console, table
from remit.environment import Settings
from remit.errors import EXIT_CATCHING_UP, EXIT_FAILED, EXIT_OK, EXIT_USAGE, CommandError

_SERVICES = ("fraud", "transfer", "ledger", "audit")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit dead-letters` takes."""
    acts = parser.add_subparsers(dest="act", required=True, metavar="ACT")
    listing = acts.add_parser("list", help="the open letters, newest first")
    _add_service(listing)
    listing.add_argument("--all", action="store_true", dest="with_resolved", help="closed ones, too")
    listing.add_argument("--json", action="store_true", help="one JSON document a line instead of a table")
    acts.add_parser("show", help="one letter, whole, with its stack").add_argument("letter", metavar="ID")
    for name, text in (("replay", "let the service try again"), ("discard", "give up; the row stays")):
        act = acts.add_parser(name, help=text)
        act.add_argument("letters", nargs="*", metavar="ID")
        _add_service(act)
        act.add_argument("--all", action="store_true", dest="every", help="every open letter (of --service)")


def _add_service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service", choices=_SERVICES, help="those of one service")


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Does one act, as the operator of the settings; the API audits it."""
    environment = settings.environment
    async with open_client(api_url(environment), admin_credentials(environment)) as client:
        if arguments.act == "list":
            return await _list(client, arguments)
        if arguments.act == "show":
            return _show(await client.dead_letter(arguments.letter))
        chosen = await _chosen(client, arguments)
        return await _act(client, arguments.act, chosen)


async def _list(client: AsyncClient, arguments: argparse.Namespace) -> int:
    letters = [letter async for letter in client.dead_letters(arguments.service, closed_too=arguments.with_resolved)]
    if arguments.json:
        for letter in letters:
            sys.stdout.write(msgspec.json.encode(letter).decode() + "\n")
        return EXIT_OK
    out = console()
    _print_table(out, letters)
    out.print(f"{len(letters)} letters", highlight=False)
    return EXIT_OK


def _print_table(out: Console, letters: Sequence[DeadLetter]) -> None:
    rows = table("id", "service", "type", "reason", "parked", ">times", "")
    for letter in letters:
        parked = letter.parked_at.strftime("%Y-%m-%d %H:%M:%S")
        state = letter.resolution or "open"
        times = str(letter.times_parked)
        rows.add_row(letter.id, letter.service, letter.message_type, letter.reason, parked, times, state)
    out.print(rows)


def _show(letter: DeadLetter) -> int:
    document = msgspec.json.decode(msgspec.json.encode(letter))
    out = console()
    for name, value in document.items():
        if name not in {"detail", "item"}:
            out.print(f"{name}: {value}", highlight=False, markup=False)
    out.print(f"\ndetail:\n{letter.detail}\nitem:\n{letter.item}", highlight=False, markup=False, soft_wrap=True)
    return EXIT_OK


async def _chosen(client: AsyncClient, arguments: argparse.Namespace) -> Sequence[str]:
    """The ids that are named, or those of all open letters.

    Raises:
        CommandError: neither, or both.
    """
    if bool(arguments.letters) == arguments.every:
        raise CommandError(f"{arguments.act}: name letters, or give --all", EXIT_USAGE)
    if not arguments.every:
        return list(arguments.letters)
    # Oldest first: what one caller asked first still happens first.
    return [letter.id async for letter in client.dead_letters(arguments.service, closed_too=False)][::-1]


async def _act(client: AsyncClient, act: str, letters: Sequence[str]) -> int:
    do: Callable[[str], Awaitable[tuple[str, int]]] = {"replay": _replayer(client), "discard": _discarder(client)}[act]
    out, codes = console(), [EXIT_OK]
    for letter_id in letters:
        said, code = await do(letter_id)
        out.print(f"{letter_id}  {said}", highlight=False)
        codes.append(code)
    # A failure says more than something that has not arrived yet.
    return EXIT_FAILED if EXIT_FAILED in codes else max(codes)


def _replayer(client: AsyncClient) -> Callable[[str], Awaitable[tuple[str, int]]]:
    async def replay(letter_id: str) -> tuple[str, int]:
        letter, is_done = await client.replay_dead_letter(letter_id)
        if not is_done:
            return "handed to its service, which has not answered yet", EXIT_CATCHING_UP
        if letter.resolution is None:
            return f"failed again, parked {letter.times_parked} times", EXIT_FAILED
        return letter.resolution.replace("_", " "), EXIT_OK

    return replay


def _discarder(client: AsyncClient) -> Callable[[str], Awaitable[tuple[str, int]]]:
    async def discard(letter_id: str) -> tuple[str, int]:
        if await client.discard_dead_letter(letter_id):
            return "discarded", EXIT_OK
        return "handed to its service, which has not answered yet", EXIT_CATCHING_UP

    return discard
