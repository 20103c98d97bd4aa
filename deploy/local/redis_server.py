"""A private Redis, or Valkey: loopback and a password, append-only file, never evicting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis

from deploy.local import programs
from deploy.local.accounts import Account, give, private_folder, server_account
from deploy.local.daemons import Command
from deploy.local.files import write_private
from deploy.local.layout import Layout
from deploy.local.parts import NotReady
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.programs import Program

LEAST = (7,)
PROBE_TIMEOUT_S = 2
PROGRAMS = ("redis-server", "valkey-server")


def find() -> Program | None:
    """The newest installed server of the two."""
    return programs.best([path for name in PROGRAMS if (path := programs.which(name))], LEAST)


@dataclass(frozen=True, kw_only=True)
class Redis:
    """The server as a part of the stack."""

    program: Program
    layout: Layout
    password: str
    # False: the append-only file is left to the system's cache.
    durable: bool
    name: str = "redis"
    processes: tuple[str, ...] = ("redis",)

    @property
    def home(self) -> Path:
        """Everything of this server."""
        return self.layout.home(self.name)

    @property
    def account(self) -> Account | None:
        """The user it runs as."""
        return server_account("redis") or server_account("valkey")

    def choose_ports(self, ports: Ports) -> Mapping[str, int]:
        """One port."""
        return {"redis": ports.choose("redis")}

    def url(self, ports: Mapping[str, int]) -> str:
        """The address of its one user."""
        return address(self.password, ports)

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Write the configuration."""
        private_folder(self.home, self.account)
        give(self.home, self.account)
        write_private(self.home / "redis.conf", self._config(ports["redis"]), owner=self.account)

    def commands(self, ports: Mapping[str, int]) -> list[Command]:
        """The server itself."""
        return [
            Command(
                name=self.name,
                argv=(str(self.program.path), "redis.conf"),
                env={"PATH": programs.SYSTEM_PATH, "LANG": "C.UTF-8"},
                cwd=self.home,
                ports=ports,
                account=self.account,
                inputs=self._config(ports["redis"]) + self.program.release,
            )
        ]

    def probe(self, ports: Mapping[str, int]) -> None:
        """Log in and ask something."""
        probe(self.url(ports))

    def describe(self, ports: Mapping[str, int]) -> str:
        """Version and address."""
        kind = "Valkey" if "valkey" in self.program.path.name else "Redis"
        return f"{kind} {self.program.release} on {LOOPBACK}:{ports['redis']}"

    def _config(self, port: int) -> str:
        own = f"bind {LOOPBACK}\nport {port}\nprotected-mode yes\n"
        return own + settings(self.password, durable=self.durable)


def address(password: str, ports: Mapping[str, int]) -> str:
    """The address of its one user."""
    return f"redis://default:{password}@{LOOPBACK}:{ports['redis']}/0"


def settings(password: str, *, durable: bool) -> str:
    """How it runs, wherever that is, as lines of its configuration."""
    lines = [
        f"requirepass {password}",
        # The folder the server is started in; so its path, which may hold spaces, needs no quoting.
        "dir .",
        "appendonly yes",
        f"appendfsync {'everysec' if durable else 'no'}",
        'save ""',
        # What it holds decides about money: full, it must refuse writes rather than forget.
        "maxmemory 1gb",
        "maxmemory-policy noeviction",
    ]
    return "".join(f"{line}\n" for line in lines)


def probe(url: str) -> str:
    """Log in and ask for the name and version of what answers.

    Raises:
        NotReady: it does not answer, refuses the password, or still loads its data.
    """
    try:
        with redis.Redis.from_url(
            url, socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S
        ) as client:
            # Asked for itself: it waits for the data, as the question after it does not.
            client.ping()
            said = client.info("server")
    except redis.RedisError as error:
        raise NotReady(str(error)) from None
    # Valkey gives the version of Redis that it is compatible with, too.
    return f"Valkey {said['valkey_version']}" if "valkey_version" in said else f"Redis {said['redis_version']}"
