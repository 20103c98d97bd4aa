"""The servers of one stack that run in containers."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypedDict

from deploy.local import engine
from deploy.local.containers import Container, container_of
from deploy.local.engine import Launch, Launcher
from deploy.local.errors import StackError
from deploy.local.files import write_private
from deploy.local.layout import Layout
from deploy.local.parts import ATTEMPTS_MAX, NotReady
from deploy.local.ports import LOOPBACK, Ports, is_free
from deploy.local.secrets import Secrets

# Each look is a program of the engine's.
LOOK_EVERY_S = 1.0

# Asks a server who it is; raises NotReady until it answers.
Probe = Callable[[Mapping[str, int]], str]


class ContainedServers:
    """Those that run in containers. Which they are, and where, is on record, and so outlives this process."""

    def __init__(self, layout: Layout, ports: Ports, secrets: Secrets, *, durable: bool, launcher: Launcher) -> None:
        self._layout = layout
        self._free = ports
        self._secrets = secrets
        self._durable = durable
        self._launcher = launcher
        # Not the data of a copy of this folder, nor of one that stood here before.
        mark = f"{layout.state.resolve()}\0{secrets.erlang_cookie}"
        self._prefix = f"remit-{hashlib.sha256(mark.encode()).hexdigest()[:12]}"

    @property
    def names(self) -> frozenset[str]:
        """The servers that were last started here."""
        return frozenset(name for name, ports in _read(self._layout).items() if ports)

    def way(self, name: str, probe: Probe) -> ContainerStart:
        """How to bring one up."""
        return ContainerStart(name, self, probe)

    def stop(self, names: Iterable[str], *, signal_number: int | None = None) -> None:
        """End some, each in its own clean way unless a signal is given; their data stay."""
        for name in names:
            timeout_s = self.container(name).stop_timeout_s
            engine.stop(self.identity(name), timeout_s=timeout_s, signal_number=signal_number)

    def signal(self, name: str, signal_number: int) -> None:
        """Send a signal to a server's main process."""
        engine.signal(self.identity(name), signal_number)

    def wipe(self, name: str) -> None:
        """End one and lose its data."""
        engine.remove([self.identity(name)], data=True)

    def leave(self, name: str) -> None:
        """End one that runs elsewhere from now on; what it held stays in its volume, and on record for the end."""
        self.stop([name])
        self._write({**_read(self._layout), name: {}})

    def is_running(self, name: str) -> bool:
        """Whether its container runs."""
        found = engine.find(self.identity(name))
        return found is not None and found.running

    def ports(self, name: str) -> Mapping[str, int]:
        """Where it listens on loopback, as it was last started."""
        ports = _read(self._layout).get(name)
        if not ports:
            raise StackError(name, "is not running")
        return ports

    def log(self, name: str) -> Path:
        """The file of its log, filled with what it said so far."""
        path = self._layout.log(name)
        engine.save_log(self.identity(name), path)
        return path

    def identity(self, name: str) -> str:
        """The name of its container, and of its volume."""
        return f"{self._prefix}-{name}"

    def container(self, name: str) -> Container:
        """What is run."""
        return container_of(name, self._secrets, durable=self._durable)

    def launch(self, name: str) -> Mapping[str, int]:
        """Create and start it on free ports; the data it left are found again."""
        identity, container = self.identity(name), self.container(name)
        engine.remove([identity], data=False)
        ports = {purpose: self._free.choose(purpose) for purpose in container.ports}
        # On record before it exists: whoever cleans up must know of it.
        self._write({**_read(self._layout), name: ports})
        self._launcher(Launch(name=identity, container=container, ports=ports))
        return ports

    def give_up_taken_ports(self, name: str) -> bool:
        """Whether strangers sit on ports it was to have; then others are chosen next time."""
        taken = [purpose for purpose, port in self.ports(name).items() if not is_free(port)]
        self._free.forget(taken)
        return bool(taken)

    def _write(self, servers: Mapping[str, Mapping[str, int]]) -> None:
        record = {name: {"container": self.identity(name), "ports": dict(ports)} for name, ports in servers.items()}
        write_private(self._layout.containers, json.dumps(record, indent=1))


class ContainerStart:
    """One container on its way up."""

    def __init__(self, name: str, servers: ContainedServers, probe: Probe) -> None:
        self.name = name
        self.changed = False
        self._servers = servers
        self._probe = probe
        self._attempts = 0
        self._look_at = 0.0
        self._ports: Mapping[str, int] = {}
        self._answer = ""

    def launch(self) -> None:
        """Start it, or keep the one that runs already just as it should."""
        identity = self._servers.identity(self.name)
        found = engine.find(identity)
        same = found is not None and found.fingerprint == self._servers.container(self.name).fingerprint()
        if same and found is not None and found.running:
            self._ports = found.ports
            return
        self.changed = True
        self._launch()

    def is_ready(self) -> bool:
        """Whether it serves; one that ended is an error."""
        try:
            self._answer = self._probe(self._ports)
        except NotReady:
            if time.monotonic() > self._look_at and not self._is_running():
                raise StackError(self.name, "ended instead of starting", log=self.log()) from None
            return False
        return True

    def why(self) -> str:
        """What it is waiting for."""
        try:
            self._probe(self._ports)
        except NotReady as reason:
            return str(reason)
        return "it has just become ready"

    def describe(self) -> str:
        """What it says it is, and its address."""
        first, *others = self._ports.values()
        also = f", also :{', :'.join(map(str, others))}" if others else ""
        return f"{self._answer} in a container on {LOOPBACK}:{first}{also}"

    def log(self) -> Path:
        """What explains a failure."""
        return self._servers.log(self.name)

    def _is_running(self) -> bool:
        self._look_at = time.monotonic() + LOOK_EVERY_S
        return self._servers.is_running(self.name)

    def _launch(self) -> None:
        self._attempts += 1
        try:
            self._ports = self._servers.launch(self.name)
        except StackError:
            if self._attempts >= ATTEMPTS_MAX or not self._servers.give_up_taken_ports(self.name):
                raise
            self._launch()


def remove_all(layout: Layout) -> None:
    """Remove every container and volume on a stack's record."""
    engine.remove(_identities(layout).values(), data=True)
    layout.containers.unlink(missing_ok=True)


class _Known(TypedDict):
    container: str
    ports: dict[str, int]


def _read(layout: Layout) -> dict[str, dict[str, int]]:
    return {name: known["ports"] for name, known in _record(layout).items()}


def _identities(layout: Layout) -> dict[str, str]:
    return {name: known["container"] for name, known in _record(layout).items()}


def _record(layout: Layout) -> dict[str, _Known]:
    return dict(json.loads(layout.containers.read_text())) if layout.containers.exists() else {}
