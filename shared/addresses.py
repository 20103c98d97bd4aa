"""Addresses of servers, checked before anybody uses them: what is wrong is said when a process starts.

The clients would say it later, each in its own words, some with the address and the password in it. So what is said
here never repeats any part of an address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

_FORM = "is no address of the form scheme://user:password@host:port/…; a password in it must be percent-encoded"
_PORT_WRONG = "needs a port from 1 to 65535; a password before it must be percent-encoded"
_PORT_MAX = 65_535
_PORT = re.compile(r"[0-9]{1,5}")
_DATABASE = re.compile(r"/?[0-9]{0,9}/?")
# Control characters, which the standard library drops in silence and a line of a log must not hold.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"""[^\s:@/\[\]<>"^`{|}\\]+""")
_IN_BRACKETS = re.compile(r"\[([^\[\]]+)\](?::(.*))?")
_NUMBER = re.compile(r"[0-9]{1,9}")
_SECONDS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_REDIS_NUMBERS = {
    **dict.fromkeys(("db", "max_connections", "health_check_interval", "socket_read_size"), _NUMBER),
    **dict.fromkeys(("socket_timeout", "socket_connect_timeout"), _SECONDS),
}
# What libpq and asyncpg know of these; any other value is refused by them, at the first connection.
_POSTGRES_CHOICES = {
    "sslmode": {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"},
    "target_session_attrs": {"any", "primary", "standby", "read-write", "read-only", "prefer-standby"},
}


class AddressInvalid(ValueError):
    """An address that no client could use; the message follows the name of what holds it."""


@dataclass(frozen=True)
class Kind:
    """What addresses of one kind of server look like."""

    schemes: Sequence[str]
    # What is particular to them, once scheme and form are right.
    look: Callable[[SplitResult], None]

    def checked(self, url: str) -> str:
        """`url`, if a client could use it.

        Raises:
            AddressInvalid: it could not; the message does not repeat any of it.
        """
        try:
            parts = urlsplit(url)
            wrong = "://" not in url or _UNSEEN.search(url) or parts.fragment
        except ValueError:
            raise AddressInvalid(_FORM) from None
        if "://" in url and parts.scheme not in self.schemes:
            raise AddressInvalid(f"must begin with {' or '.join(f'{scheme}://' for scheme in self.schemes)}")
        # A password with a slash in it ends the part that names the host; the rest of it stands in the path.
        if wrong or ("@" in parts.path and "@" not in parts.netloc):
            raise AddressInvalid(_FORM)
        self.look(parts)
        return url


def hosts_of(url: str) -> Sequence[tuple[str, int | None]]:
    """Each host that an address of PostgreSQL names, or folder of a socket, and its port where it says one.

    Raises:
        AddressInvalid: they cannot be read.
    """
    parts = urlsplit(url)
    query = _query(parts)
    ports = [_port(port) for port in query.get("port", "").split(",")]
    hosts = list(_hosts(parts.netloc.rpartition("@")[2]))
    if hosts:
        return hosts
    hosts = list(_hosts(query.get("host", "")))
    if len(ports) not in {1, len(hosts)}:
        raise AddressInvalid("needs one port for all hosts, or one for each")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [(host, own or port) for (host, own), port in zip(hosts, ports, strict=True)]


def _hosts(listed: str) -> Iterator[tuple[str, int | None]]:
    for written in listed.split(",") if listed else ():
        if written.startswith("/"):
            yield written, None
        elif bracketed := _IN_BRACKETS.fullmatch(written):
            try:
                ipaddress.IPv6Address(unquote(bracketed[1]))
            except ValueError:
                raise AddressInvalid(_FORM) from None
            yield bracketed[1], _port(bracketed[2] or "")
        else:
            host, _, port = written.partition(":")
            if not host:
                raise AddressInvalid("names no host")
            if not _HOST.fullmatch(host):
                raise AddressInvalid(_FORM)
            yield _nameable(unquote(host)), _port(port)


def _nameable(host: str) -> str:
    try:
        # As the resolver will be asked; an empty label, or one that is too long, is no trouble of the network.
        host.encode("idna")
    except UnicodeError:
        if not host.startswith("/"):
            raise AddressInvalid("names a host that no resolver can be asked for") from None
    return host


def _port(written: str) -> int | None:
    if not written:
        return None
    if not _PORT.fullmatch(written) or not 1 <= int(written) <= _PORT_MAX:
        raise AddressInvalid(_PORT_WRONG)
    return int(written)


def _query(parts: SplitResult) -> dict[str, str]:
    try:
        return {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    except ValueError:
        raise AddressInvalid("has a query that is not name=value&…") from None


def _postgres(parts: SplitResult) -> None:
    if parts.netloc.count("@") > 1:
        raise AddressInvalid(_FORM)
    query = _query(parts)
    # A service is a section of libpq's own file, which may name the host.
    if not hosts_of(parts.geturl()) and "service" not in query:
        raise AddressInvalid("names no host")
    for name, choices in _POSTGRES_CHOICES.items():
        if name in query and query[name] not in choices:
            raise AddressInvalid(f"needs a {name} out of {', '.join(sorted(choices))}")


def _one_host(parts: SplitResult) -> None:
    listed = parts.netloc.rpartition("@")[2]
    if "," in listed:
        raise AddressInvalid("names several hosts; this client takes one")
    if not list(_hosts(listed)):
        raise AddressInvalid("names no host")


def _redis(parts: SplitResult) -> None:
    query = _query(parts)
    if parts.scheme == "unix":
        if not parts.path.strip("/"):
            raise AddressInvalid("names no socket")
    else:
        _one_host(parts)
        # The client would take its first database for any other.
        if not _DATABASE.fullmatch(parts.path):
            raise AddressInvalid("needs the number of a database after the host, or nothing")
    for name, pattern in _REDIS_NUMBERS.items():
        if name in query and not pattern.fullmatch(query[name]):
            raise AddressInvalid(f"needs a {name} that is a number")


POSTGRES = Kind(("postgresql", "postgres"), _postgres)
REDIS = Kind(("redis", "rediss", "unix"), _redis)
AMQP = Kind(("amqp", "amqps"), _one_host)
HTTP = Kind(("http", "https"), _one_host)


def kind_of(variable: str) -> Kind:
    """The kind of address that a variable holds, by its name."""
    if variable.endswith("_POSTGRES_URL"):
        return POSTGRES
    if variable.endswith("_AMQP_URL"):
        return AMQP
    return REDIS if variable in {"REMIT_REDIS_URL", "REMIT_AUDIT_CHECKPOINT_URL"} else HTTP
