"""Starting, recording and ending the processes of a stack."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local import processes
from deploy.local.accounts import Account
from deploy.local.errors import StackError
from deploy.local.files import write_private
from deploy.local.layout import Layout

LOG_BYTES_MAX = 10 * 1024 * 1024
POLL_S = 0.02
KILL_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True)
class Command:
    """A process to run."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    # More environment, of the terminal it happens to be started from: another one's is no reason for a restart.
    inherited: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int]
    account: Account | None = None
    # What it depends on beside its arguments and environment: its code, its configuration.
    inputs: str = ""
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 20
    # Ends it at once, and still without leaving anything behind in the kernel. Where the stack is tied to the
    # process that started it, the kernel sends it when that one dies.
    death_signal: signal.Signals = signal.SIGKILL

    def fingerprint(self) -> str:
        """Changes whenever a running process would differ from one started now."""
        parts = [self.argv, sorted(self.env.items()), str(self.cwd), sorted(self.ports.items()), self.inputs]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """A process that was started: enough to recognise and to end it, whatever the code says by then."""

    name: str
    pid: int
    started_ticks: int
    boot_id: str
    # The stack it belongs to: a copied folder must not lay hands on the original's processes.
    state: str
    fingerprint: str
    stop_signal: int
    stop_timeout_s: float
    death_signal: int
    ports: dict[str, int] = field(default_factory=dict)

    def is_alive(self) -> bool:
        """Whether that very process, not another with its pid, still runs."""
        return self.boot_id == processes.boot_id() and processes.started_at(self.pid) == self.started_ticks


class Daemons:
    """The processes of one stack."""

    def __init__(self, layout: Layout, *, tied: bool) -> None:
        self._layout = layout
        self._tied = tied

    def names(self) -> list[str]:
        """Every process on record, running or not."""
        return sorted(path.stem for path in self._layout.run.glob("*.json"))

    def running(self, name: str) -> Record | None:
        """The record of a process that runs now."""
        record = self._read(name)
        return record if record is not None and record.is_alive() else None

    def start(self, command: Command) -> Record:
        """Start the process, unless just this one already runs; another of its name is ended first."""
        record = self.running(command.name)
        if record is not None and record.fingerprint == command.fingerprint():
            return record
        self.stop([command.name])
        return processes.in_spawner(self._spawn, command).result()

    def stop(self, names: Iterable[str], *, signal_number: int | None = None) -> None:
        """End processes together: a signal, a deadline, then SIGKILL. `signal_number` replaces each one's own."""
        ending = [record for name in names if (record := self.running(name)) is not None]
        for record in ending:
            _signal(record, record.stop_signal if signal_number is None else signal_number)
        self._await_end(ending)

    def kill(self) -> None:
        """End every process at once."""
        ending = [record for name in self.names() if (record := self.running(name)) is not None]
        for record in ending:
            _signal(record, record.death_signal)
        self._await_end(ending)

    def signal(self, name: str, signal_number: int) -> None:
        """Send a signal to a running process."""
        record = self.running(name)
        if record is None:
            raise StackError(name, "is not running")
        _signal(record, signal_number)

    def _await_end(self, ending: Sequence[Record]) -> None:
        begun = time.monotonic()
        for record in ending:
            if not _wait_end(record, begun + record.stop_timeout_s):
                _kill(record)
            self._path(record.name).unlink(missing_ok=True)

    def _spawn(self, command: Command) -> Record:
        log = self._layout.log(command.name)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            pid = processes.spawn(
                command.argv,
                env={**command.inherited, **command.env},
                cwd=command.cwd,
                output=output,
                account=command.account,
                death_signal=command.death_signal if self._tied else None,
            )
        record = Record(
            name=command.name,
            pid=pid,
            # One that ended at once is recorded as what cannot be running.
            started_ticks=processes.started_at(pid) or -1,
            boot_id=processes.boot_id(),
            state=str(self._layout.state.resolve()),
            fingerprint=command.fingerprint(),
            stop_signal=command.stop_signal,
            stop_timeout_s=command.stop_timeout_s,
            death_signal=command.death_signal,
            ports=dict(command.ports),
        )
        write_private(self._path(command.name), json.dumps(asdict(record), indent=1))
        return record

    def _path(self, name: str) -> Path:
        return self._layout.run / f"{name}.json"

    def _read(self, name: str) -> Record | None:
        path = self._path(name)
        if not path.exists():
            return None
        record = Record(**json.loads(path.read_text()))
        return record if record.state == str(self._layout.state.resolve()) else None


def _signal(record: Record, signal_number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(record.pid, signal_number)
        except PermissionError:
            raise StackError(record.name, f"process {record.pid} belongs to another user") from None


def _kill(record: Record) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(record.pid, signal.SIGKILL)
    if not _wait_end(record, time.monotonic() + KILL_TIMEOUT_S):
        raise StackError(record.name, f"process {record.pid} does not end")


def _wait_end(record: Record, deadline: float) -> bool:
    while record.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)
    return True
