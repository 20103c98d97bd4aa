"""Installing missing servers from the distribution's packages, without starting or upgrading anything."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from deploy.local.accounts import is_root
from deploy.local.addresses import SERVER_SETTINGS
from deploy.local.errors import StackError
from deploy.local.programs import which

PACKAGES: Mapping[str, str] = {"postgres": "postgresql", "redis": "redis-server", "rabbitmq": "rabbitmq-server"}
NEEDED: Mapping[str, str] = {"postgres": "PostgreSQL 15+", "redis": "Redis 7+ or Valkey", "rabbitmq": "RabbitMQ 3.10+"}
TIMEOUT_S = 600

_POLICY = Path("/usr/sbin/policy-rc.d")
_DENY = (
    "#!/bin/sh\n# Written while Remit installs its servers: nothing that is installed may start by itself.\nexit 101\n"
)
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/remit.conf")
_UNITS = ("postgresql.service", "redis-server.service", "rabbitmq-server.service", "epmd.service", "epmd.socket")


@contextmanager
def alone() -> Iterator[None]:
    """Two stacks that start at once on a bare machine install one after the other."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install(parts: Sequence[str], log: Path) -> None:
    """Install the packages of missing servers, as root on Debian or Ubuntu.

    Raises:
        StackError: it cannot, here or for this user; the message says what to install.
    """
    packages = [PACKAGES[part] for part in parts]
    if not is_possible():
        raise StackError("servers", _advice(parts, packages))
    with log.open("ab") as output, _nothing_starts(packages, output):
        _apt(output, log, "update")
        _apt(output, log, "install", "-y", "--no-install-recommends", "--no-upgrade", *packages)


def is_possible() -> bool:
    """Whether this is Debian or Ubuntu, and we are root."""
    return is_root() and _is_debian()


def _advice(parts: Sequence[str], packages: Sequence[str]) -> str:
    missing = ", ".join(NEEDED[part] for part in parts)
    names = " ".join(packages)
    how = f"`sudo apt-get install {names}`" if _is_debian() else "install them"
    settings = " ".join(SERVER_SETTINGS[part] for part in parts)
    return f"{missing} not found on this machine; {how}, start Docker, or name running ones by {settings}"


def _is_debian() -> bool:
    return which("apt-get") is not None and Path("/etc/debian_version").exists()


def _apt(output: IO[bytes], log: Path, *arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_SUSPEND": "1", "LC_ALL": "C.UTF-8"}
    command = ("apt-get", "-q", "-o", "DPkg::Lock::Timeout=120", *arguments)
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        timeout=TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise StackError("packages", f"`apt-get {' '.join(arguments)}` failed", log=log)


@contextmanager
def _nothing_starts(packages: Sequence[str], output: IO[bytes]) -> Iterator[None]:
    with ExitStack() as undo:
        undo.enter_context(_instead(_POLICY, _DENY, mode=0o755))
        if "postgresql" in packages:
            # Debian would make a cluster of its own beside ours.
            undo.enter_context(_instead(_NO_CLUSTER, "create_main_cluster = false\n", mode=0o644))
        enabled = _enabled_units()
        yield
        _disable(sorted(_enabled_units() - enabled), output)


@contextmanager
def _instead(path: Path, text: str, *, mode: int) -> Iterator[None]:
    """`path` holds `text` for a while; then what was there before, even if an earlier run was cut off in between."""
    saved = path.with_name(f"{path.name}.before-remit")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.read_text() != text:
        path.replace(saved)
    path.write_text(text)
    path.chmod(mode)
    try:
        yield
    finally:
        saved.replace(path) if saved.exists() else path.unlink()


def _enabled_units() -> set[str]:
    """Those of our servers' units that would start with the machine."""
    wants = Path("/etc/systemd/system")
    return {unit for unit in _UNITS if any(wants.glob(f"*.wants/{unit}"))}


def _disable(units: Sequence[str], output: IO[bytes]) -> None:
    # Just installed for private use: it must not appear on a standard port after the next boot.
    systemctl = which("systemctl")
    if units and systemctl is not None:
        subprocess.run((systemctl, "disable", *units), timeout=60, check=True, stdout=output, stderr=output)
