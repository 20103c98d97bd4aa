"""`remit`, or `python -m remit`: the arguments, and which command they name."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

from remit import environment
from remit.commands import (
    audit,
    bench,
    capacity,
    dead_letters,
    definitions,
    doctor,
    migrate,
    prove,
    rebuild,
    repair,
    replay,
    smoke,
    verify,
)
from remit.environment import Settings
from remit.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_UNAVAILABLE, EXIT_USAGE, CommandError
from shared.database.errors import is_transient, sqlstate_of
from shared.errors import RemitError, SettingsError, TransientError

_COMMANDS: dict[str, tuple[ModuleType, str]] = {
    "migrate": (migrate, "bring every schema and the broker's definitions up to date"),
    "definitions": (definitions, "write the definitions that the broker loads at boot"),
    "smoke": (smoke, "send a first deposit and transfer, and verify them in the ledger"),
    "replay": (replay, "replay files of accounts and transfers through the API, exactly once"),
    "verify": (verify, "check every invariant over the whole book"),
    "doctor": (doctor, "say what is right, what is wrong and what to do; changes nothing"),
    "repair": (repair, "emit again what the other services have not seen"),
    "rebuild": (rebuild, "make the ledger anew from transfer's rows, and compare it with the one that stands"),
    "prove": (prove, "break a private Remit while clients use it, and show that nothing is lost or doubled"),
    "bench": (bench, "measure a private Remit under load, and check its books"),
    "capacity": (capacity, "say how many of each service a rate needs, and what is full first"),
    "audit": (audit, "verify the audit log, and put its old months away"),
    "dead-letters": (dead_letters, "list, look at, replay or discard what the services could not carry"),
}
# The SQLSTATEs of a table, a column, a schema or a function that does not exist.
_NOT_THERE = frozenset({"42P01", "42703", "3F000", "42883"})
Command = Callable[[argparse.Namespace, Settings], Awaitable[int]]


def main() -> int:
    """Runs one command; its exit code. Expected trouble is one line on standard error."""
    arguments = _parser().parse_args()
    settings = environment.load(os.environ, Path.cwd(), getattr(arguments, "url", None))
    command: Command = _COMMANDS[arguments.command][0].run
    try:
        return asyncio.run(_awaited(command, arguments, settings))
    except KeyboardInterrupt:
        return _say("interrupted; the same command goes on from here", EXIT_INTERRUPTED)
    except RemitError as error:
        return _say(str(error), exit_code_of(error))
    except Exception as error:
        if state := sqlstate_of(error):
            hint = " (has `remit migrate` run?)" if state in _NOT_THERE else ""
            return _say(f"the database refused: {error}{hint}", EXIT_FAILED)
        if is_transient(error):
            return _say(f"a server does not answer: {type(error).__name__} {error}".rstrip(), EXIT_UNAVAILABLE)
        raise


def exit_code_of(error: RemitError) -> int:
    """What a script that called us can tell from the code alone."""
    if isinstance(error, CommandError):
        return error.exit_code
    if isinstance(error, SettingsError):
        return EXIT_USAGE
    return EXIT_UNAVAILABLE if isinstance(error, TransientError) else EXIT_FAILED


async def _awaited(command: Command, arguments: argparse.Namespace, settings: Settings) -> int:
    return await command(arguments, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="remit",
        description="Moves money between accounts, and proves it.",
        epilog="Settings come from the environment; what is unset there, from .local/env. "
        "Exit codes: 0 all well, 1 something does not hold, 2 wrong use, 3 still catching up, "
        "4 a server does not answer.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, text) in _COMMANDS.items():
        module.add_arguments(commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}."))
    return parser


def _say(text: str, exit_code: int) -> int:
    print(f"remit: {text}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
