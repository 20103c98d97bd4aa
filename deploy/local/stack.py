"""One whole Remit on this machine: servers, schemas, services. `make up` runs one; tests run their own beside it."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import engine, secrets
from deploy.local.daemons import Daemons
from deploy.local.engine import Launcher
from deploy.local.errors import StackError
from deploy.local.layout import CHECKOUT, Layout
from deploy.local.parts import Bringing, NotReady, Report, bring_up
from deploy.local.ports import Ports
from deploy.local.private import ALL_PROCESSES
from deploy.local.remit_program import run_remit
from deploy.local.servers import SERVERS, Servers
from deploy.local.services import (
    READS,
    SERVICES,
    Service,
    Surroundings,
    owner_setting,
    reads_setting,
    schema_setting,
    service_settings,
)
from shared.settings import SCHEMA_OWNERS

SERVICES_TIMEOUT_S = 60
MIGRATE_TIMEOUT_S = 120


def silent(part: str, text: str, seconds: float) -> None:
    """Tests are told nothing but errors."""


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """One part, as `make ps` shows it."""

    name: str
    pid: int | None
    state: str
    ports: tuple[int, ...]


class Stack:
    """The servers and services of one state folder.

    Every method blocks until what it says is so. `caller` holds the `REMIT_*` settings to pass on; `durable=False`
    trades safety in a crash of the machine for speed; the processes of a `tied` stack end with this one, however
    that ends. `launcher` starts its containers, if it has any.
    """

    def __init__(
        self,
        state: Path,
        *,
        caller: Mapping[str, str],
        durable: bool = True,
        tied: bool = False,
        gateway_port: int | None = None,
        report: Report = silent,
        launcher: Launcher = engine.run,
    ) -> None:
        self.layout = Layout(state.absolute())
        self.layout.create()
        self._caller = caller
        self._gateway_port = gateway_port
        self._report = report
        self._secrets = secrets.load(self.layout.secrets)
        self._ports = Ports(self.layout.ports)
        self._daemons = Daemons(self.layout, tied=tied)
        self.servers = Servers(
            self.layout,
            self._daemons,
            self._ports,
            self._secrets,
            caller,
            durable=durable,
            report=report,
            launcher=launcher,
        )

    @property
    def chosen_addresses(self) -> frozenset[str]:
        """The names of the addresses that the caller chose."""
        return frozenset(name for name in self._caller if name.endswith("_URL"))

    def start_servers(self, names: Sequence[str] = SERVERS) -> None:
        """Bring the servers up that nobody else runs for us, and see that all of them answer."""
        self.servers.start(names)

    def stop_server(self, name: str, signal_number: int | None = None) -> None:
        """End one of our servers, in its own clean way unless a signal is given."""
        self.servers.stop(name, signal_number=signal_number)

    def wipe_server(self, name: str) -> None:
        """End one of our servers and lose its data."""
        self.servers.wipe(name)

    def migrate(self, checkout: Path = CHECKOUT) -> None:
        """Bring every role and schema up (`remit migrate`), as far as the release in `checkout` knows."""
        begun = time.monotonic()
        log = self.layout.log("migrate")
        settings = {**self._caller, **self.env}
        with log.open("wb") as output:
            code = run_remit(("migrate",), settings, output=output, timeout_s=MIGRATE_TIMEOUT_S, checkout=checkout)
        if code != 0:
            raise StackError("migrate", f"ended with exit code {code}", log=log)
        self._report("schemas", "roles and schemas are up to date", time.monotonic() - begun)

    def stop_changed_services(self) -> None:
        """End the services that run with other settings or code than they would be started with now."""
        expected = {name: self._service(name) for name in SERVICES}
        stale = [
            name
            for name in self._service_processes()
            if name not in expected or not self._bringing(expected[name]).is_current()
        ]
        self._daemons.stop(stale)

    def start_services(self, names: Iterable[str] = SERVICES, overrides: Mapping[str, str] | None = None) -> None:
        """Start the first instance of each service, together; `overrides` are settings for all of them."""
        self._bring_up([self._service(name, 1, overrides) for name in names])

    def start_service(
        self, name: str, n: int = 1, overrides: Mapping[str, str] | None = None, checkout: Path = CHECKOUT
    ) -> None:
        """Start the `n`-th instance of a service, of the release in `checkout`, and wait until it is ready."""
        self._bring_up([self._service(name, n, overrides, checkout)])

    def stop_service(self, name: str, signal_number: int = signal.SIGTERM, n: int = 1) -> None:
        """End the `n`-th instance of a service and wait until it is gone."""
        self._daemons.stop([self._service(name, n).name], signal_number=signal_number)

    def signal(self, process: str, signal_number: int) -> None:
        """Send a signal, for example SIGSTOP, to a server or an instance (`transfer-2`); wait for nothing."""
        runner = self.servers if process in SERVERS else self._daemons
        runner.signal(process, signal_number)

    def pid(self, process: str) -> int | None:
        """The process id of a server or an instance; None if it does not run, or not as a process of this machine."""
        record = self._daemons.running(process)
        return None if record is None else record.pid

    def service_url(self, name: str, n: int = 1) -> str:
        """Where a running instance serves HTTP."""
        service = self._service(name, n)
        record = self._daemons.running(service.name)
        if record is None:
            raise StackError(service.name, "is not running")
        return service.url(record.ports)

    def service_settings(self, name: str) -> dict[str, str]:
        """The settings a service is given, but for its port; also to run a service inside a test."""
        return service_settings(name, self._surroundings())

    @property
    def env(self) -> dict[str, str]:
        """What clients and operators of the stack need: the contents of `.local/env`."""
        gateway = self.service_settings("gateway")
        values = {name: gateway[name] for name in ("REMIT_GATEWAY_ADMIN_EMAIL", "REMIT_GATEWAY_ADMIN_PASSWORD")}
        values["REMIT_POSTGRES_URL"] = self.servers.addresses.postgres
        for name in SERVICES:
            values[schema_setting(name)] = self.service_settings(name)[schema_setting(name)]
        values |= self._elsewhere()
        values |= self.servers.addresses.settings()
        running = [name for name in SERVICES if self.pid(name) is not None]
        values |= {f"REMIT_{name.upper()}_URL": self.service_url(name) for name in running}
        return {"REMIT_API_URL": self.service_url("gateway"), **values} if "gateway" in running else values

    def _elsewhere(self) -> dict[str, str]:
        """Where schemas are that the caller has put on other servers, and how each service reads all it reads then."""
        owners = {name: self._caller[name] for name in map(owner_setting, SCHEMA_OWNERS) if name in self._caller}
        reading = [(service, reads_setting(service, schema)) for service in SERVICES for schema in READS[service]]
        return {**owners, **{name: self.service_settings(who)[name] for who, name in reading if owners}}

    def status(self) -> list[PartStatus]:
        """Every part and whether it serves."""
        others = [name for name in self._service_processes() if name not in SERVICES]
        return [self._status(name) for name in (*SERVERS, *SERVICES, *others)]

    def stop(self) -> None:
        """End all services, then all servers; data stay."""
        self._daemons.stop(self._service_processes())
        self.servers.stop_all()

    def kill(self) -> None:
        """End everything at once, for a stack whose data nobody wants."""
        self._daemons.kill()
        self.servers.remove_containers()

    def wipe(self) -> None:
        """End everything cleanly, and remove all data, secrets and logs."""
        self.stop()
        self.servers.remove_containers()
        self.layout.wipe()

    def _service_processes(self) -> list[str]:
        return [name for name in self._daemons.names() if name not in ALL_PROCESSES]

    def _bring_up(self, services: Sequence[Service]) -> None:
        ways = [self._bringing(service) for service in services]
        bring_up(ways, timeout_s=SERVICES_TIMEOUT_S, report=self._report)

    def _bringing(self, service: Service) -> Bringing:
        return Bringing(service, self.layout, self._daemons, self._ports)

    def _service(
        self, name: str, n: int = 1, overrides: Mapping[str, str] | None = None, checkout: Path = CHECKOUT
    ) -> Service:
        return Service(
            service=name,
            surroundings=self._surroundings(),
            instance=n,
            overrides=overrides or {},
            checkout=checkout,
        )

    def _surroundings(self) -> Surroundings:
        return Surroundings(
            addresses=self.servers.addresses,
            secrets=self._secrets,
            caller=self._caller,
            gateway_port=self._gateway_port,
        )

    def _status(self, name: str) -> PartStatus:
        record = self._daemons.running(name)
        ports = {} if record is None else record.ports
        state = self._state(name)
        if name in self.servers.contained and state != "stopped":
            ports = dict(self.servers.ports(name))
        pid = None if record is None else record.pid
        return PartStatus(name=name, pid=pid, state=state, ports=tuple(ports.values()))

    def _state(self, name: str) -> str:
        if name in SERVERS:
            return self.servers.state(name)
        record = self._daemons.running(name)
        if record is None:
            return "stopped"
        service, _, number = name.partition("-")
        try:
            self._service(service, int(number or 1)).probe(record.ports)
        except (NotReady, StackError):
            return "not ready"
        return "ready"
