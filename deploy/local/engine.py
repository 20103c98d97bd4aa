"""Docker, asked by its command-line program, so that what runs needs no library for it."""

from __future__ import annotations

import json
import os
import signal as signals
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from deploy.local.containers import Container
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.programs import which

ANSWER_TIMEOUT_S = 10
CALL_TIMEOUT_S = 120
# A first start pulls the image.
RUN_TIMEOUT_S = 600
SHARED_MEMORY = "256m"
LOG_LINES_MAX = 2_000

# What Docker calls it to stop and continue all processes of a container.
_OF_ALL: Mapping[int, str] = {signals.SIGSTOP: "pause", signals.SIGCONT: "unpause"}

_FINGERPRINT = "remit.fingerprint"
_PORTS = "remit.ports"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A container to create and start: its name, which its volume bears too, and its ports on loopback."""

    name: str
    container: Container
    ports: Mapping[str, int]

    @property
    def labels(self) -> dict[str, str]:
        """What makes it known again."""
        return {_FINGERPRINT: self.container.fingerprint(), _PORTS: json.dumps(dict(self.ports))}


Launcher = Callable[[Launch], None]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A container that exists."""

    running: bool
    fingerprint: str
    ports: Mapping[str, int]


def trouble() -> str | None:
    """Why no engine answers; None if one does."""
    try:
        done = _docker("version", "--format", "{{.Server.Version}}", timeout_s=ANSWER_TIMEOUT_S)
    except StackError as error:
        return str(error)
    return None if done.returncode == 0 else _last_line(done.stderr)


def run(launch: Launch) -> None:
    """Create and start a container that lives on without this process."""
    container = launch.container
    options = [
        *("--name", launch.name, "--stop-signal", container.stop_signal, "--shm-size", SHARED_MEMORY),
        *("--volume", f"{launch.name}:{container.data}"),
        *(word for key in container.environment for word in ("--env", key)),
        *(word for key, value in launch.labels.items() for word in ("--label", f"{key}={value}")),
    ]
    for purpose, inside in container.ports.items():
        options += ["--publish", f"{LOOPBACK}:{launch.ports[purpose]}:{inside}"]
    # Values go by the environment: arguments are read by every user of the machine.
    call("run", "--detach", *options, container.image, *container.argv, env=container.environment)


def find(name: str) -> Found | None:
    """The container of that name, running or not."""
    done = _docker("container", "inspect", "--format", "{{json .}}", name)
    if done.returncode != 0:
        if "No such container" in done.stderr:
            return None
        raise StackError("docker", _last_line(done.stderr))
    seen = json.loads(done.stdout)
    labels = seen["Config"]["Labels"]
    ports = json.loads(labels.get(_PORTS, "{}"))
    return Found(running=seen["State"]["Running"], fingerprint=labels.get(_FINGERPRINT, ""), ports=ports)


def stop(name: str, *, timeout_s: int, signal_number: int | None = None) -> None:
    """End a running container and wait until it has: in its own clean way, or by that signal; then by force."""
    found = find(name)
    if found is None or not found.running:
        return
    if signal_number is not None:
        signal(name, signal_number)
        with suppress(StackError):
            call("wait", name, timeout_s=timeout_s)
            return
        timeout_s = 0
    call("stop", "-t", str(timeout_s), name)


def signal(name: str, signal_number: int) -> None:
    """Send a signal to the main process; wait for nothing. What stops and continues does so as a whole.

    A container's main process may be a script that waits for the server.
    """
    if signal_number in _OF_ALL:
        call(_OF_ALL[signal_number], name)
    else:
        call("kill", "--signal", str(int(signal_number)), name)


def remove(names: Iterable[str], *, data: bool) -> None:
    """End containers at once and remove them; their volumes only if the data may go."""
    if listed := list(names):
        call("rm", "--force", "--volumes", *listed)
        if data:
            call("volume", "rm", "--force", *listed)


def save_log(name: str, path: Path) -> None:
    """The end of what a container said, as a file."""
    done = _docker("logs", "--tail", str(LOG_LINES_MAX), name)
    path.write_text(done.stdout + done.stderr, encoding="utf-8")


def call(*arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = RUN_TIMEOUT_S) -> None:
    """One command that must succeed.

    Raises:
        StackError: it did not; the message is the program's own.
    """
    done = _docker(*arguments, env=env, timeout_s=timeout_s)
    if done.returncode != 0:
        raise StackError("docker", f"{arguments[0]}: {_last_line(done.stderr)}")


def become(*arguments: str) -> NoReturn:
    """A command in place of this process."""
    os.execvp(_program(), ("docker", *arguments))  # noqa: S606 - becomes `docker`


def _docker(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = CALL_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            (_program(), *arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **(env or {})},
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError("docker", f"{arguments[0]} did not end within {timeout_s:.0f} s") from None


def _program() -> Path:
    program = which("docker")
    if program is None:
        raise StackError("docker", "the program `docker` was not found")
    return program


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "no message"
