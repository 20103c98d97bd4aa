"""Bringing parts of the stack up together: start them all, watch each until it is ready."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deploy.local.daemons import Command, Daemons
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.ports import Ports, is_free

POLL_S = 0.05
ATTEMPTS_MAX = 3


# Part, what became of it, seconds it took.
Report = Callable[[str, str, float], None]


class NotReady(Exception):
    """What a part is still waiting for; the message says what."""


class Part(Protocol):
    """A server or a service instance: one or more processes with one name for people."""

    @property
    def name(self) -> str:
        """The name people know it by; its main process bears it."""

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of its processes, helpers first, the main one last."""

    def prepare(self, ports: Mapping[str, int]) -> None:
        """Make what it needs on disk; called only while it is not running."""

    def commands(self, ports: Mapping[str, int]) -> Sequence[Command]:
        """How to run its processes, in their order."""

    def choose_ports(self, ports: Ports) -> Mapping[str, int]:
        """A free port for each of its purposes."""

    def probe(self, ports: Mapping[str, int]) -> None:
        """Return if it serves; raise NotReady if it does not yet."""

    def describe(self, ports: Mapping[str, int]) -> str:
        """What it is and where it listens, for the terminal."""


class Way(Protocol):
    """The way up of one part, whatever runs it."""

    @property
    def name(self) -> str:
        """The part's name."""

    @property
    def changed(self) -> bool:
        """Whether anything had to be started."""

    def launch(self) -> None:
        """Start it, or keep what runs already just as it should."""

    def is_ready(self) -> bool:
        """Whether it serves; a StackError if it never will."""

    def why(self) -> str:
        """What it is waiting for."""

    def describe(self) -> str:
        """What it is and where it listens, for the terminal."""

    def log(self) -> Path:
        """What explains a failure."""


class Bringing:
    """One part that runs as processes of this machine, on its way up."""

    def __init__(self, part: Part, layout: Layout, daemons: Daemons, ports: Ports) -> None:
        self.part = part
        self.name = part.name
        self._layout = layout
        self._daemons = daemons
        self._ports = ports
        self._attempts = 0
        self.chosen: Mapping[str, int] = {}
        self.changed = False

    def launch(self) -> None:
        """Start its processes, or keep those that run already just as they should."""
        self._attempts += 1
        if self.is_current():
            return
        self.changed = True
        self.stop()
        self.chosen = self.part.choose_ports(self._ports)
        self.part.prepare(self.chosen)
        for command in self.part.commands(self.chosen):
            self._daemons.start(command)

    def stop(self) -> None:
        """End its processes, the main one before its helpers."""
        for name in reversed(self.part.processes):
            self._daemons.stop([name])

    def is_ready(self) -> bool:
        """Whether it serves; one that ended is started again on other ports if a stranger took its own."""
        ended = next((name for name in self.part.processes if self._daemons.running(name) is None), None)
        if ended is not None:
            self._recover(ended)
            return False
        try:
            self.part.probe(self.chosen)
        except NotReady:
            return False
        return True

    def why(self) -> str:
        """What it is waiting for."""
        try:
            self.part.probe(self.chosen)
        except NotReady as reason:
            return str(reason)
        return "it has just become ready"

    def describe(self) -> str:
        """What it is and where it listens, for the terminal."""
        return self.part.describe(self.chosen)

    def log(self) -> Path:
        """The log of its main process."""
        return self._layout.log(self.part.processes[-1])

    def is_current(self) -> bool:
        """Whether it runs just as it would be started now."""
        main = self._daemons.running(self.part.processes[-1])
        if main is None:
            return False
        self.chosen = main.ports
        return all(self._runs(command) for command in self.part.commands(main.ports))

    def _runs(self, command: Command) -> bool:
        record = self._daemons.running(command.name)
        return record is not None and record.fingerprint == command.fingerprint()

    def _recover(self, ended: str) -> None:
        self.stop()
        taken = [purpose for purpose, port in self.chosen.items() if not is_free(port)]
        if not taken or self._attempts >= ATTEMPTS_MAX:
            raise StackError(self.part.name, "ended instead of starting", log=self._layout.log(ended))
        self._ports.forget(taken)
        self.launch()


def bring_up(bringing: Sequence[Way], *, timeout_s: float, report: Report) -> None:
    """Start all, and return when each of them serves.

    Raises:
        StackError: one ended or was not ready in time; it names the part and its log.
    """
    begun = time.monotonic()
    for one in bringing:
        one.launch()
    waiting = list(bringing)
    while waiting:
        for one in [one for one in waiting if one.is_ready()]:
            waiting.remove(one)
            state = "" if one.changed else " (was running)"
            report(one.name, one.describe() + state, time.monotonic() - begun)
        if waiting and time.monotonic() - begun > timeout_s:
            late = waiting[0]
            raise StackError(late.name, f"not ready within {timeout_s:.0f} s: {late.why()}", log=late.log())
        time.sleep(POLL_S)
