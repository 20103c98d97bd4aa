"""PostgreSQL, Redis and RabbitMQ of one stack: ours, or those that the caller named."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence

from deploy.local import install, postgres, rabbitmq, redis_server
from deploy.local.addresses import MANAGEMENT_SETTING, SERVER_SETTINGS, Addresses, external_servers
from deploy.local.daemons import Daemons
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.parts import Bringing, NotReady, Report, bring_up
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres
from deploy.local.programs import Program
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.redis_server import Redis
from deploy.local.secrets import Secrets

SERVERS = ("postgres", "redis", "rabbitmq")
# Every process a server may have, helpers first.
PROCESSES: Mapping[str, tuple[str, ...]] = {
    "postgres": Postgres.processes,
    "redis": Redis.processes,
    "rabbitmq": RabbitMQ.processes,
}
ALL_PROCESSES = tuple(process for name in SERVERS for process in PROCESSES[name])
START_TIMEOUT_S = 90

_FINDERS = {"postgres": postgres.find, "redis": redis_server.find, "rabbitmq": rabbitmq.find}

Server = Postgres | Redis | RabbitMQ


class Servers:
    """The three servers."""

    def __init__(
        self,
        layout: Layout,
        daemons: Daemons,
        ports: Ports,
        secrets: Secrets,
        caller: Mapping[str, str],
        *,
        durable: bool,
        report: Report,
    ) -> None:
        self.external = external_servers(caller)
        self._layout = layout
        self._daemons = daemons
        self._ports = ports
        self._secrets = secrets
        self._caller = caller
        self._durable = durable
        self._report = report

    def start(self, names: Sequence[str] = SERVERS) -> None:
        """Bring ours up, and see that those of the caller answer."""
        ours = [name for name in names if name not in self.external]
        self._install_missing(ours)
        if not any(self._daemons.running(name) for name in SERVERS):
            self._layout.place_data()
        # The broker takes longest; it starts first.
        ways = [self._bringing(name) for name in sorted(ours, reverse=True)]
        bring_up(ways, timeout_s=START_TIMEOUT_S, report=self._report)
        for name in self.external:
            self.stop(name)  # One of ours from before, now replaced by the caller's.
            self._check_external(name)

    def stop(self, name: str, *, signal_number: int | None = None) -> None:
        """End one of ours, in its own clean way unless a signal is given."""
        for process in reversed(PROCESSES[name]):
            self._daemons.stop([process], signal_number=signal_number)

    def stop_all(self) -> None:
        """End all of ours together; the broker's helper after the broker."""
        self._daemons.stop(SERVERS)
        self._daemons.stop(ALL_PROCESSES)

    def wipe(self, name: str) -> None:
        """End one of ours and lose its data."""
        if name in self.external:
            raise StackError(name, "is not ours to wipe")
        self.stop(name)
        shutil.rmtree(self._layout.home(name), ignore_errors=True)

    @property
    def addresses(self) -> Addresses:
        """Where they are; ours must have been started."""
        urls = {name: self.url(name) for name in SERVERS}
        if "rabbitmq" in self.external:
            management = self._caller.get(MANAGEMENT_SETTING)
        else:
            management = self._rabbitmq().management_url(self._running_ports("rabbitmq"))
        return Addresses(postgres=urls["postgres"], redis=urls["redis"], amqp=urls["rabbitmq"], management=management)

    def url(self, name: str) -> str:
        """The wide address of one of them."""
        if name in self.external:
            return self._caller[SERVER_SETTINGS[name]]
        return self._server(name).url(self._running_ports(name))

    def state(self, name: str) -> str:
        """Whether it serves, in a word or two."""
        if name not in self.external and self._daemons.running(name) is None:
            return "stopped"
        try:
            self._probe(name)
        except NotReady:
            return "not ready"
        return "external" if name in self.external else "ready"

    def _probe(self, name: str) -> None:
        if name in self.external:
            _EXTERNAL_PROBES[name](self.url(name))
        else:
            self._server(name).probe(self._running_ports(name))

    def _check_external(self, name: str) -> None:
        begun = time.monotonic()
        try:
            self._probe(name)
        except NotReady as reason:
            raise StackError(name, f"{SERVER_SETTINGS[name]} does not serve: {reason}") from None
        self._report(name, f"as {SERVER_SETTINGS[name]} says", time.monotonic() - begun)

    def _install_missing(self, ours: Sequence[str]) -> None:
        missing = [name for name in ours if _FINDERS[name]() is None]
        if not missing:
            return
        begun = time.monotonic()
        install.install(missing, self._layout.log("packages"))
        for name in missing:
            if _FINDERS[name]() is None:
                raise StackError(name, f"{install.NEEDED[name]} is needed; what this system packages is older")
        self._report("packages", f"installed {', '.join(missing)}", time.monotonic() - begun)

    def _running_ports(self, name: str) -> Mapping[str, int]:
        record = self._daemons.running(name)
        if record is None:
            raise StackError(name, "is not running")
        return record.ports

    def _bringing(self, name: str) -> Bringing:
        return Bringing(self._server(name), self._layout, self._daemons, self._ports)

    def _server(self, name: str) -> Server:
        builders: Mapping[str, Callable[[], Server]] = {
            "postgres": self._postgres,
            "redis": self._redis,
            "rabbitmq": self._rabbitmq,
        }
        return builders[name]()

    def _postgres(self) -> Postgres:
        return Postgres(
            program=_found("postgres", postgres.find()),
            layout=self._layout,
            password=self._secrets.postgres_owner_password,
            durable=self._durable,
        )

    def _redis(self) -> Redis:
        return Redis(
            program=_found("redis", redis_server.find()),
            layout=self._layout,
            password=self._secrets.redis_password,
            durable=self._durable,
        )

    def _rabbitmq(self) -> RabbitMQ:
        return RabbitMQ(
            program=_found("rabbitmq", rabbitmq.find()),
            layout=self._layout,
            password=self._secrets.amqp_administrator_password,
            cookie=self._secrets.erlang_cookie,
        )


def _found(name: str, program: Program | None) -> Program:
    if program is None:
        raise StackError(name, f"{install.NEEDED[name]} was not found on this machine")
    return program


_EXTERNAL_PROBES: Mapping[str, Callable[[str], None]] = {
    "postgres": postgres.probe,
    "redis": redis_server.probe,
    "rabbitmq": rabbitmq.greet,
}
