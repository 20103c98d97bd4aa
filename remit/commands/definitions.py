"""`remit definitions`: the file that the broker loads at every boot, so that one that was wiped comes back whole."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from remit.environment import Settings
from remit.errors import EXIT_OK, CommandError
from shared.contracts import topology
from shared.settings import Environment, address, amqp_url

# Users stand in it with salted hashes of long random passwords; the broker reads it as a user of its own.
_MODE = 0o644


@dataclass(frozen=True, kw_only=True)
class Administrator:
    """Who owns the broker's virtual host, as `REMIT_AMQP_URL` names him."""

    name: str
    password: str = field(repr=False)
    vhost: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `remit definitions` takes."""
    parser.add_argument("--output", type=Path, metavar="FILE", help="write to this file instead of standard output")


async def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Writes the definitions, whole or not at all."""
    text = json.dumps(broker_definitions(settings.environment), indent=1) + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
        return EXIT_OK
    try:
        _write_whole(arguments.output, text)
    except OSError as error:
        raise CommandError(f"{arguments.output}: {error.strerror}") from None
    print(f"broker: definitions written to {arguments.output}")
    return EXIT_OK


def administrator(environment: Environment) -> Administrator:
    """The broker's administrator.

    Raises:
        SettingsError: `REMIT_AMQP_URL` is not set, or no address of a broker.
    """
    parts = urlsplit(address(environment, "REMIT_AMQP_URL"))
    return Administrator(
        name=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        vhost=unquote(parts.path.removeprefix("/")) or "/",
    )


def broker_definitions(environment: Environment) -> dict[str, Any]:
    """Users with the very passwords that the services' addresses carry, permissions, exchanges, queues, bindings.

    Raises:
        SettingsError: `REMIT_AMQP_URL` is not set, or no address of a broker.
    """
    who = administrator(environment)
    return topology.definitions(who.name, who.password, who.vhost, passwords=broker_passwords(environment))


def broker_passwords(environment: Environment) -> dict[str, str]:
    """Each service's password at the broker, as its address carries it.

    Raises:
        SettingsError: neither its address nor `REMIT_AMQP_URL` is set.
    """
    return {name: unquote(urlsplit(amqp_url(environment, name)).password or "") for name in topology.PUBLISHED}


def _write_whole(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(_MODE)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
