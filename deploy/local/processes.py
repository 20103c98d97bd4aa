"""Processes as the kernel knows them: a pid means something only together with its start time."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import IO

from deploy.local.accounts import Account
from deploy.local.errors import StackError
from deploy.local.programs import which

PROC = Path("/proc")

# Linux sends the death signal when the *thread* that started a child ends. One thread that lives as long as this
# process starts them all; and as Ctrl-C reaches the main thread only, no child is ever started without being recorded.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")

# Children are reaped through these; they must outlive their callers.
_children: dict[int, subprocess.Popen[bytes]] = {}

in_spawner = _spawner.submit


@cache
def boot_id() -> str:
    """Names this boot of the machine; start times of another boot say nothing."""
    path = PROC / "sys/kernel/random/boot_id"
    return path.read_text().strip() if path.exists() else ""


def started_at(pid: int) -> int | None:
    """The start time of a running process in clock ticks since boot; None if it ended, reaped or not."""
    child = _children.get(pid)
    if child is not None and child.poll() is not None:
        return None
    try:
        # The program's name, in parentheses, may itself hold spaces and parentheses.
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = fields[0], int(fields[19])
    if state not in "ZX":
        return start
    if child is not None:
        child.wait()  # It ended just now; nobody will ask about it again.
    return None


def spawn(
    argv: tuple[str, ...],
    *,
    env: dict[str, str],
    cwd: Path,
    output: IO[bytes],
    account: Account | None,
    death_signal: signal.Signals | None,
) -> int:
    """Start a process in a session of its own, as `account`; with a death signal it ends when this process does."""
    if death_signal is not None:
        argv = (_setpriv(), "--pdeathsig", death_signal.name.removeprefix("SIG"), "--", *argv)
    child = subprocess.Popen(
        argv,
        env=env,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o077,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else os.getgrouplist(account.name, account.gid),
    )
    _children[child.pid] = child
    return child.pid


def _setpriv() -> str:
    path = which("setpriv")
    if path is None:
        raise StackError("setpriv", "not found; install util-linux, so that test servers end with the tests")
    return str(path)
