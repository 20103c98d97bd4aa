"""Stacks for tests: private, quick, and gone afterwards, however the tests end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from deploy.local import contained, engine, processes, testcontainer
from deploy.local.addresses import MANAGEMENT_SETTING, SERVER_SETTINGS, caller_settings, external_servers
from deploy.local.errors import StackError
from deploy.local.files import read_assignments
from deploy.local.layout import LOCAL, Layout
from deploy.local.servers import SERVERS
from deploy.local.stack import Stack

PREFIX = "remit-test-"
# What the stacks of this process ran on, in the servers' own words.
served: set[str] = set()

_SERVER_NAMES = frozenset({*SERVER_SETTINGS.values(), MANAGEMENT_SETTING, "REMIT_INFRA"})


class _Stack(Stack):
    def start_servers(self, names: Sequence[str] = SERVERS) -> None:
        super().start_servers(names)
        if set(names) == set(SERVERS):
            served.add(self.servers.versions())


@contextmanager
def temporary_stack(*, durable: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack in a temporary folder, on ports of its own; nothing of it is started yet.

    It never touches the one that `make up` runs. Of the caller's environment only the addresses of servers count;
    `settings` are passed on to the services. Its processes and containers end with this process.
    """
    caller = {**_servers_of_caller(), **(settings or {})}
    launcher = testcontainer.launch if testcontainer.is_installed() else engine.run
    with temporary_state() as state:
        stack = _Stack(state, caller=caller, durable=durable, tied=True, launcher=launcher)
        try:
            yield stack
        finally:
            stack.kill()


@contextmanager
def temporary_state() -> Iterator[Path]:
    """A state folder that is swept away by a later run if this process is killed; nothing may run in it at the end."""
    sweep()
    state = Path(tempfile.mkdtemp(prefix=PREFIX))
    _claim(state)
    try:
        yield state
    finally:
        Layout(state).wipe()


def check_choice() -> None:
    """See that what the caller says about servers can be; whether they answer is seen when one is needed.

    Raises:
        StackError: `REMIT_INFRA` is wrong, or lacks an address.
    """
    external_servers(_servers_of_caller())


def sweep() -> None:
    """Remove the folders and containers of test runs that were killed; their processes died with them."""
    for state in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if os.access(state, os.W_OK) and not _has_owner(state):
            # Their engine may not answer now; another run will ask. Or another run is removing them at this moment.
            with suppress(StackError, FileNotFoundError):
                contained.remove_all(Layout(state))
                Layout(state).wipe()
                shutil.rmtree(state, ignore_errors=True)


def _servers_of_caller() -> dict[str, str]:
    caller = caller_settings(os.environ, read_assignments(LOCAL / "env"), given=frozenset())
    return {name: value for name, value in caller.items() if name in _SERVER_NAMES}


def _claim(state: Path) -> None:
    pid, path = os.getpid(), state / "owner"
    # Renamed when it is whole: another run, which sweeps at this moment, reads all of it or finds none.
    path.with_suffix(".new").write_text(json.dumps([pid, processes.started_at(pid), processes.boot_id()]))
    path.with_suffix(".new").rename(path)


def _has_owner(state: Path) -> bool:
    path = state / "owner"
    if not path.exists():
        return True  # Just being made.
    pid, started, boot = json.loads(path.read_text())
    return bool(boot == processes.boot_id() and processes.started_at(pid) == started)
