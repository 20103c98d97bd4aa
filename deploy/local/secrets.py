"""The passwords of one stack: random, made once, kept in a private file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.files import read_assignments, write_assignments


def _password() -> str:
    # Hexadecimal, so that it stands in an address as it is.
    return secrets.token_hex(24)


_MAKERS: Mapping[str, Callable[[], str]] = {
    "POSTGRES_OWNER_PASSWORD": _password,
    "REDIS_PASSWORD": _password,
    "AMQP_ADMINISTRATOR_PASSWORD": _password,
    "ERLANG_COOKIE": _password,
    "GATEWAY_JWT_SECRET": _password,
    "GATEWAY_ADMIN_EMAIL": lambda: "admin@remit.local",
    "GATEWAY_ADMIN_PASSWORD": lambda: secrets.token_urlsafe(18),
}


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """What the owner of the stack, and nobody else, may know."""

    postgres_owner_password: str
    redis_password: str
    amqp_administrator_password: str
    erlang_cookie: str
    gateway_jwt_secret: str
    gateway_admin_email: str
    gateway_admin_password: str


def load(path: Path) -> Secrets:
    """Read the secrets, making those that are missing."""
    known = read_assignments(path)
    values = {name: known.get(name) or make() for name, make in _MAKERS.items()}
    if values != known:
        write_assignments(path, values)
    return Secrets(**{name.lower(): value for name, value in values.items()})
