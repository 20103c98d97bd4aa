"""A private RabbitMQ node: everything on loopback, an epmd and a cookie of its own, whole again at every boot."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from deploy.local import programs
from deploy.local.accounts import Account, give, private_folder, server_account
from deploy.local.daemons import Command
from deploy.local.errors import StackError
from deploy.local.files import write_private
from deploy.local.layout import Layout
from deploy.local.parts import NotReady
from deploy.local.ports import LOOPBACK, Ports
from deploy.local.programs import Program
from shared.contracts import topology

LEAST = (3, 10)
ADMINISTRATOR = "remit"
PROBE_TIMEOUT_S = 2
PURPOSES = ("amqp", "management", "prometheus", "dist", "epmd")
DEFAULT_AMQP_PORT = 5672

# A name is unique within an epmd only, and each stack has its own; data stay readable when the folder moves.
NODE = "remit@localhost"

_PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Type, channel, size of what follows.
_FRAME_HEAD_BYTES = 7
# Among the server's properties in Connection.Start: a short string, then a long one with its length.
_VERSION = re.compile(rb"\x07versionS.{4}([0-9.]+)", re.DOTALL)

# Busy waiting would take the processors from the five services.
NO_BUSY_WAITING = "+sbwt none +sbwtdcpu none +sbwtdio none"
_ERLANG_OPTIONS = f"-kernel inet_dist_use_interface {{127,0,0,1}} {NO_BUSY_WAITING}"


def find() -> Program | None:
    """The newest installed server; not the wrapper in Debian's PATH, which insists on the packaged folders."""
    packaged = Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*/sbin/rabbitmq-server")
    on_path = programs.which("rabbitmq-server")
    candidates = [*packaged, *([on_path.resolve()] if on_path else [])]
    found = (Program(path=path, version=programs.version_in(str(path))) for path in candidates)
    return max((p for p in found if p.version >= LEAST), key=lambda p: p.version, default=None)


@dataclass(frozen=True, kw_only=True)
class Membership:
    """A node's part in a cluster: a minority of its nodes pauses, and its definitions are sent once it stands."""

    # The node that all others join when they first start.
    first: str
    # Whoever runs the cluster maps the names of its nodes to ports.
    mapper_port: int
    # How long a peer may be silent before it is down, seconds.
    tick_time_s: int


@dataclass(frozen=True, kw_only=True)
class RabbitMQ:
    """The server, and the port mapper it needs, as a part of the stack."""

    program: Program
    layout: Layout
    password: str
    cookie: str
    name: str = "rabbitmq"
    processes: tuple[str, ...] = ("epmd", "rabbitmq")
    node: str = NODE
    # None: a node alone, with a port mapper and definitions of its own.
    cluster: Membership | None = None

    @property
    def home(self) -> Path:
        """Everything of this server."""
        return self.layout.home(self.name)

    @property
    def account(self) -> Account | None:
        """The user it runs as."""
        return server_account("rabbitmq")

    def choose_ports(self, ports: Ports) -> Mapping[str, int]:
        """AMQP, management, metrics, and the two of Erlang's distribution."""
        chosen = {purpose: ports.choose(purpose) for purpose in PURPOSES}
        return chosen if self.cluster is None else {**chosen, "epmd": self.cluster.mapper_port}

    def url(self, ports: Mapping[str, int]) -> str:
        """The administrator's address."""
        return address(self.password, ports)

    def management_url(self, ports: Mapping[str, int]) -> str:
        """The administrator's address of the HTTP API."""
        return management_address(self.password, ports)

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Write the configuration and the definitions: users, permissions, exchanges, queues, bindings."""
        private_folder(self.home, self.account)
        give(self.home, self.account)
        definitions = topology.definitions(ADMINISTRATOR, self.password)
        contents = {
            "definitions.json": json.dumps(definitions, indent=1),
            "rabbitmq.conf": self._config(ports),
            "enabled_plugins": "[rabbitmq_management,rabbitmq_prometheus].\n",
            # Keeps the packaged node's settings in /etc/rabbitmq from leaking in.
            "rabbitmq-env.conf": "",
            "advanced.config": "[].\n",
            ".erlang.cookie": self.cookie,
        }
        for name, text in contents.items():
            write_private(self.home / name, text, owner=self.account)

    def commands(self, ports: Mapping[str, int]) -> list[Command]:
        """The port mapper, if it is ours, then the broker."""
        broker = self._broker(ports)
        return [broker] if self.cluster else [self._epmd(ports), broker]

    def probe(self, ports: Mapping[str, int]) -> None:
        """Greet the AMQP listener, which opens last of all, and log in as the administrator."""
        greet(self.url(ports))
        ask_management(self.management_url(ports))

    def describe(self, ports: Mapping[str, int]) -> str:
        """Version and addresses."""
        where = f"{LOOPBACK}:{ports['amqp']}, management on :{ports['management']}"
        return f"RabbitMQ {self.program.release} on {where}"

    def control(self, ports: Mapping[str, int], *arguments: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
        """How to have `rabbitmqctl` do something to the running node: the command line and its environment."""
        program = self.program.path.resolve().with_name("rabbitmqctl")
        return (str(program), "--node", self.node, *arguments), self._node_environment(ports)

    def _epmd(self, ports: Mapping[str, int]) -> Command:
        return Command(
            name="epmd",
            argv=(str(_find_epmd()), "-port", str(ports["epmd"]), "-address", LOOPBACK),
            env={"PATH": programs.SYSTEM_PATH},
            cwd=self.home,
            ports={"epmd": ports["epmd"]},
            account=self.account,
        )

    def _broker(self, ports: Mapping[str, int]) -> Command:
        home = self.home
        env = {
            **self._node_environment(ports),
            # The script then becomes the node itself, so that its pid is the node's and signals arrive.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_DIST_PORT": str(ports["dist"]),
            "RABBITMQ_MNESIA_BASE": str(home / "node"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": self._erlang_options(),
        }
        return Command(
            name=self.name,
            argv=(str(self.program.path),),
            env=env,
            cwd=home,
            ports=ports,
            account=self.account,
            inputs=self._config(ports),
            stop_timeout_s=60,
        )

    def _node_environment(self, ports: Mapping[str, int]) -> dict[str, str]:
        """What the node and those who speak to it by Erlang's distribution must know."""
        return {
            "PATH": f"{_erlang().parent}:{programs.SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "ERL_EPMD_PORT": str(ports["epmd"]),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONF_ENV_FILE": str(self.home / "rabbitmq-env.conf"),
        }

    def _config(self, ports: Mapping[str, int]) -> str:
        lines = [
            f"listeners.tcp.1 = {LOOPBACK}:{ports['amqp']}",
            f"management.tcp.ip = {LOOPBACK}",
            f"management.tcp.port = {ports['management']}",
            f"prometheus.tcp.ip = {LOOPBACK}",
            f"prometheus.tcp.port = {ports['prometheus']}",
            "log.console = true",
            "log.console.level = info",
            "log.file = false",
            *self._beginning(),
        ]
        return "".join(f"{line}\n" for line in lines)

    def _beginning(self) -> list[str]:
        """What a node without data begins with."""
        if self.cluster is None:
            return [f"load_definitions = {self.home / 'definitions.json'}"]
        # A queue that is declared before the others have joined would have one member for ever.
        return [
            "cluster_formation.peer_discovery_backend = classic_config",
            f"cluster_formation.classic_config.nodes.1 = {self.cluster.first}",
            "cluster_partition_handling = pause_minority",
            f"default_user = {ADMINISTRATOR}",
            f"default_pass = {self.password}",
        ]

    def _erlang_options(self) -> str:
        if self.cluster is None:
            return _ERLANG_OPTIONS
        return f"{_ERLANG_OPTIONS} -kernel net_ticktime {self.cluster.tick_time_s}"


def _erlang() -> Path:
    found = programs.which("erl")
    if found is None:
        raise StackError("rabbitmq", "Erlang (`erl`) was not found in PATH")
    return found


def _find_epmd() -> Path:
    # Outside Debian it may stand only inside the Erlang installation, next to the virtual machine.
    inside = _erlang().resolve().parents[1].glob("erts-*/bin/epmd")
    found = programs.which("epmd") or max(inside, default=None)
    if found is None:
        raise StackError("rabbitmq", "Erlang's epmd was not found; install Erlang whole")
    return found


def address(password: str, ports: Mapping[str, int]) -> str:
    """The administrator's address."""
    return f"amqp://{ADMINISTRATOR}:{password}@{LOOPBACK}:{ports['amqp']}/"


def management_address(password: str, ports: Mapping[str, int]) -> str:
    """The administrator's address of the HTTP API."""
    return f"http://{ADMINISTRATOR}:{password}@{LOOPBACK}:{ports['management']}"


def greet(url: str) -> str:
    """Begin an AMQP conversation: the name and version of what answers; of a TLS address only the port is tried.

    Raises:
        NotReady: nobody answers, or not in AMQP 0-9-1.
    """
    parts = urlsplit(url)
    try:
        address = (parts.hostname or "", parts.port or DEFAULT_AMQP_PORT)
        with socket.create_connection(address, timeout=PROBE_TIMEOUT_S) as connection:
            if parts.scheme == "amqps":
                return "RabbitMQ behind TLS"
            connection.sendall(_PROTOCOL_HEADER)
            with connection.makefile("rb") as stream:
                # A method frame (type 1): Connection.Start. An older protocol's server sends its own header and closes.
                head = stream.read(_FRAME_HEAD_BYTES)
                if head[:1] != b"\x01":
                    raise NotReady("what answers there does not speak AMQP 0-9-1")
                start = stream.read(int.from_bytes(head[3:]))
    except OSError as error:
        raise NotReady(str(error)) from None
    version = _VERSION.search(start)
    return f"RabbitMQ {version[1].decode()}" if version else "RabbitMQ"


def ask_management(url: str) -> None:
    """Log in to the HTTP API.

    Raises:
        NotReady: it does not answer or refuses the login.
    """
    try:
        with httpx.Client(trust_env=False, timeout=PROBE_TIMEOUT_S) as client:
            client.get(f"{url}/api/whoami").raise_for_status()
    except httpx.HTTPStatusError as error:
        raise NotReady(f"management answers {error.response.status_code}") from None
    except httpx.HTTPError as error:
        raise NotReady(str(error)) from None
