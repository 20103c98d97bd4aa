"""The servers of one stack that run as processes of this machine, from the machine's own programs."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from deploy.local import install, postgres, rabbitmq, redis_server
from deploy.local.daemons import Daemons
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.parts import Bringing, Report
from deploy.local.ports import Ports
from deploy.local.postgres import Postgres
from deploy.local.programs import Program
from deploy.local.rabbitmq import RabbitMQ
from deploy.local.redis_server import Redis
from deploy.local.secrets import Secrets

# Every process a server may have, helpers first.
PROCESSES: Mapping[str, tuple[str, ...]] = {
    "postgres": Postgres.processes,
    "redis": Redis.processes,
    "rabbitmq": RabbitMQ.processes,
}
ALL_PROCESSES = tuple(process for processes in PROCESSES.values() for process in processes)

CONTROL_TIMEOUT_S = 30

_FINDERS = {"postgres": postgres.find, "redis": redis_server.find, "rabbitmq": rabbitmq.find}

Server = Postgres | Redis | RabbitMQ


class PrivateServers:
    """Those of our own that are processes."""

    def __init__(
        self, layout: Layout, daemons: Daemons, ports: Ports, secrets: Secrets, *, durable: bool, report: Report
    ) -> None:
        self._layout = layout
        self._daemons = daemons
        self._free = ports
        self._secrets = secrets
        self._durable = durable
        self._report = report

    def place_data(self) -> None:
        """Put the data where the servers' users can enter, unless a server runs."""
        if not any(self._daemons.running(name) for name in PROCESSES):
            self._layout.place_data()

    def way(self, name: str) -> Bringing:
        """How to bring one up."""
        return Bringing(self._server(name), self._layout, self._daemons, self._free)

    def stop(self, names: Iterable[str], *, signal_number: int | None = None) -> None:
        """End some together, each in its own clean way unless a signal is given; helpers after their servers."""
        listed = list(names)
        self._daemons.stop(listed, signal_number=signal_number)
        self._daemons.stop((p for name in listed for p in reversed(PROCESSES[name])), signal_number=signal_number)

    def signal(self, name: str, signal_number: int) -> None:
        """Send a signal to a server's main process."""
        self._daemons.signal(name, signal_number)

    def wipe(self, name: str) -> None:
        """End one and lose its data."""
        self.stop([name])
        shutil.rmtree(self._layout.home(name), ignore_errors=True)

    def is_running(self, name: str) -> bool:
        """Whether its main process runs."""
        return self._daemons.running(name) is not None

    def ports(self, name: str) -> Mapping[str, int]:
        """Where it listens on loopback."""
        record = self._daemons.running(name)
        if record is None:
            raise StackError(name, "is not running")
        return record.ports

    def control_broker(self, *arguments: str) -> None:
        """Have `rabbitmqctl` do something to the running broker."""
        broker = self._rabbitmq()
        argv, env = broker.control(self.ports(broker.name), *arguments)
        account = broker.account
        done = subprocess.run(
            argv,
            env=dict(env),
            cwd=broker.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CONTROL_TIMEOUT_S,
            check=False,
            user=None if account is None else account.uid,
            group=None if account is None else account.gid,
        )
        if done.returncode != 0:
            raise StackError(broker.name, f"rabbitmqctl {arguments[0]}: {(done.stderr or done.stdout).strip()[-300:]}")

    def install_missing(self, names: Sequence[str]) -> None:
        """Install the programs that are missing, or say what somebody else must install."""
        begun = time.monotonic()
        # What another stack is installing at this moment is there only in part.
        with install.alone():
            missing = missing_of(names)
            if not missing:
                return
            install.install(missing, self._layout.log("packages"))
        for name in missing_of(missing):
            raise StackError(name, f"{install.NEEDED[name]} is needed; what this system packages is older")
        self._report("packages", f"installed {', '.join(missing)}", time.monotonic() - begun)

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


def missing_of(names: Iterable[str]) -> list[str]:
    """Those whose programs are not on this machine, or too old."""
    return [name for name in names if _FINDERS[name]() is None]


def _found(name: str, program: Program | None) -> Program:
    if program is None:
        raise StackError(name, f"{install.NEEDED[name]} was not found on this machine")
    return program
