"""PostgreSQL, Redis and RabbitMQ of one stack: the caller's, processes of this machine, or containers.

This is the one place that knows which; decision 0019 says in which order they are tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from deploy.local import contained, engine, install, postgres, rabbitmq, redis_server
from deploy.local.addresses import (
    MANAGEMENT_SETTING,
    SERVER_SETTINGS,
    Addresses,
    external_servers,
    servers_in_containers,
)
from deploy.local.contained import ContainedServers
from deploy.local.daemons import Daemons
from deploy.local.engine import Launcher
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.parts import NotReady, Report, Way, bring_up
from deploy.local.ports import Ports
from deploy.local.private import PrivateServers, missing_of
from deploy.local.secrets import Secrets

SERVERS = ("postgres", "redis", "rabbitmq")
START_TIMEOUT_S = 90


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
        launcher: Launcher,
    ) -> None:
        self.external = external_servers(caller)
        self._layout = layout
        self._secrets = secrets
        self._caller = caller
        self._report = report
        self._private = PrivateServers(layout, daemons, ports, secrets, durable=durable, report=report)
        self._contained = ContainedServers(layout, ports, secrets, durable=durable, launcher=launcher)

    @property
    def contained(self) -> frozenset[str]:
        """Those that run in containers."""
        return self._contained.names - self.external

    def start(self, names: Sequence[str] = SERVERS) -> None:
        """Bring ours up, and see that those of the caller answer."""
        # The broker takes longest; it starts first.
        ours = sorted((name for name in names if name not in self.external), reverse=True)
        in_containers = self._choose(ours)
        self._leave_others(ours, in_containers)
        if len(in_containers) < len(ours):
            self._private.place_data()
        ways = [self._way(name, contained=name in in_containers) for name in ours]
        bring_up(ways, timeout_s=START_TIMEOUT_S, report=self._report)
        for name in self.external:
            self._check_external(name)

    def stop(self, name: str, *, signal_number: int | None = None) -> None:
        """End one of ours, in its own clean way unless a signal is given."""
        self._runner(name).stop([name], signal_number=signal_number)

    def stop_all(self) -> None:
        """End all of ours together; data stay."""
        self._private.stop(SERVERS)
        self._contained.stop(self._contained.names)

    def signal(self, name: str, signal_number: int) -> None:
        """Send a signal to one of ours; wait for nothing."""
        self._runner(name).signal(name, signal_number)

    def control_broker(self, *arguments: str) -> None:
        """Have `rabbitmqctl` do something to our broker, where it is a process of this machine."""
        if self._runner("rabbitmq") is not self._private:
            raise StackError("rabbitmq", "is not a process of this machine")
        self._private.control_broker(*arguments)

    def wipe(self, name: str) -> None:
        """End one of ours and lose its data."""
        self._runner(name).wipe(name)

    def remove_containers(self) -> None:
        """End all containers of this stack at once and lose their data."""
        contained.remove_all(self._layout)

    @property
    def addresses(self) -> Addresses:
        """Where they are; ours must have been started."""
        urls = {name: self.url(name) for name in SERVERS}
        return Addresses(
            postgres=urls["postgres"], redis=urls["redis"], amqp=urls["rabbitmq"], management=self._management()
        )

    def url(self, name: str) -> str:
        """The wide address of one of them."""
        if name in self.external:
            return self._caller[SERVER_SETTINGS[name]]
        return self._address(name, self.ports(name))

    def ports(self, name: str) -> Mapping[str, int]:
        """Where one of ours listens on loopback."""
        return self._runner(name).ports(name)

    def state(self, name: str) -> str:
        """Whether it serves, in a word or two."""
        if name not in self.external and not self._runner(name).is_running(name):
            return "stopped"
        try:
            self._probe(name)
        except NotReady:
            return "not ready"
        return "external" if name in self.external else "ready"

    def versions(self) -> str:
        """What answers, by its own words, and who runs it."""
        try:
            said = [self._probe(name) for name in SERVERS]
        except NotReady as reason:
            raise StackError("servers", f"do not answer: {reason}") from None
        origins = [self._origin(name) for name in SERVERS]
        if len(set(origins)) == 1:
            return f"{', '.join(said)} ({origins[0]})"
        return ", ".join(f"{release} ({origin})" for release, origin in zip(said, origins, strict=True))

    def save_logs(self) -> None:
        """Put what the containers said so far beside the other logs."""
        for name in self.contained:
            self._contained.log(name)

    def become_log_of(self, name: str, lines: int) -> NoReturn:
        """Follow what a container says, from so many lines back, in place of this process."""
        engine.become("logs", "--follow", "--tail", str(lines), self._contained.identity(name))

    def _runner(self, name: str) -> PrivateServers | ContainedServers:
        if name in self.external:
            raise StackError(name, "is not ours")
        return self._contained if name in self._contained.names else self._private

    def _way(self, name: str, *, contained: bool) -> Way:
        if contained:
            return self._contained.way(name, lambda ports: self._ask(name, ports))
        return self._private.way(name)

    def _choose(self, ours: Sequence[str]) -> list[str]:
        """Which of ours run in containers; the others' programs are on this machine then."""
        chosen = servers_in_containers(
            ours,
            self._caller.get("REMIT_INFRA"),
            kept=self._contained.names,
            missing=frozenset(missing_of(ours)),
            installable=install.is_possible(),
            engine_trouble=engine.trouble,
        )
        self._private.install_missing([name for name in ours if name not in chosen])
        return chosen

    def _leave_others(self, ours: Sequence[str], in_containers: Sequence[str]) -> None:
        """End those of an earlier start that somebody else runs from now on."""
        self._private.stop([*in_containers, *self.external])
        elsewhere = self.external | {name for name in ours if name not in in_containers}
        for name in self._contained.names & elsewhere:
            self._contained.leave(name)

    def _check_external(self, name: str) -> None:
        begun = time.monotonic()
        try:
            answer = self._probe(name)
        except NotReady as reason:
            raise StackError(name, f"{SERVER_SETTINGS[name]} does not serve: {reason}") from None
        self._report(name, f"{answer}, as {SERVER_SETTINGS[name]} says", time.monotonic() - begun)

    def _probe(self, name: str) -> str:
        if name in self.external:
            return _PROBES[name](self.url(name))
        return self._ask(name, self.ports(name))

    def _ask(self, name: str, ports: Mapping[str, int]) -> str:
        if name == "rabbitmq":
            rabbitmq.ask_management(rabbitmq.management_address(self._secrets.amqp_administrator_password, ports))
        return _PROBES[name](self._address(name, ports))

    def _address(self, name: str, ports: Mapping[str, int]) -> str:
        secrets = self._secrets
        password = {
            "postgres": secrets.postgres_owner_password,
            "redis": secrets.redis_password,
            "rabbitmq": secrets.amqp_administrator_password,
        }[name]
        return _ADDRESSES[name](password, ports)

    def _management(self) -> str | None:
        if "rabbitmq" in self.external:
            return self._caller.get(MANAGEMENT_SETTING)
        return rabbitmq.management_address(self._secrets.amqp_administrator_password, self.ports("rabbitmq"))

    def _origin(self, name: str) -> str:
        if name in self.external:
            return "as the caller named them"
        return "in containers" if name in self.contained else "programs of this machine"


_ADDRESSES: Mapping[str, Callable[[str, Mapping[str, int]], str]] = {
    "postgres": postgres.address,
    "redis": redis_server.address,
    "rabbitmq": rabbitmq.address,
}
_PROBES: Mapping[str, Callable[[str], str]] = {
    "postgres": postgres.probe,
    "redis": redis_server.probe,
    "rabbitmq": rabbitmq.greet,
}
