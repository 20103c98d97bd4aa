"""`python -m deploy.local up`, and the other commands of the Makefile."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable

from deploy.local import commands, terminal
from deploy.local.errors import StackError
from deploy.local.servers import SERVERS
from deploy.local.services import SERVICES

INTERRUPTED = 130
READING = ("ps", "logs")


def main() -> int:
    """Run one command; its exit code."""
    arguments = _parser().parse_args()
    if arguments.command in READING:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `make logs | head` ends as it does for other programs.
    try:
        _action(arguments)()
    except StackError as error:
        terminal.failure(error)
        return 1
    except PermissionError as error:
        terminal.failure(StackError("files", f"{error.filename} belongs to another user; run this as that user"))
        return 1
    except KeyboardInterrupt:
        terminal.say("\ninterrupted; `make up` goes on from here, `make down` stops what runs")
        return INTERRUPTED
    return 0


def _action(arguments: argparse.Namespace) -> Callable[[], None]:
    named: dict[str, Callable[[list[str]], None]] = {
        "start": commands.start,
        "stop": commands.stop,
        "wipe": commands.wipe,
    }
    plain: dict[str, Callable[[], None]] = {
        "up": commands.up,
        "down": commands.down,
        "reset": commands.reset,
        "ps": commands.ps,
    }
    if arguments.command == "logs":
        return lambda: commands.logs(arguments.name)
    if arguments.command in named:
        return lambda: named[arguments.command](arguments.names)
    return plain[arguments.command]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Remit on this machine.")
    add = parser.add_subparsers(dest="command", required=True).add_parser
    add("up", help="start what is not running, wait until all is ready, send and verify a first transfer")
    add("down", help="stop everything; data stay")
    add("reset", help="stop everything and remove all data")
    add("ps", help="show every part")
    add("logs", help="the end of each log, or follow one").add_argument("name", nargs="?")
    for name, choices, text in (
        ("start", (*SERVERS, *SERVICES), "start some parts"),
        ("stop", (*SERVERS, *SERVICES), "stop some parts"),
        ("wipe", SERVERS, "stop some servers and lose their data"),
    ):
        add(name, help=text).add_argument("names", nargs="+", choices=choices)
    return parser


if __name__ == "__main__":
    sys.exit(main())
