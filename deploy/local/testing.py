"""Stacks for tests: private, quick, and gone afterwards, however the tests end."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from deploy.local import processes
from deploy.local.addresses import MANAGEMENT_SETTING, SERVER_SETTINGS, caller_settings
from deploy.local.files import read_assignments
from deploy.local.layout import LOCAL, Layout
from deploy.local.stack import Stack

PREFIX = "remit-test-"
_SERVER_NAMES = frozenset({*SERVER_SETTINGS.values(), MANAGEMENT_SETTING, "REMIT_INFRA"})


@contextmanager
def temporary_stack(*, durable: bool = False, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A stack in a temporary folder, on ports of its own; nothing of it is started yet.

    It never touches the one that `make up` runs. Of the caller's environment only the addresses of servers count;
    `settings` are passed on to the services. Its processes die with this one.
    """
    sweep()
    state = Path(tempfile.mkdtemp(prefix=PREFIX))
    _claim(state)
    stack = Stack(state, caller={**_servers_of_caller(), **(settings or {})}, durable=durable, tied=True)
    try:
        yield stack
    finally:
        stack.kill()
        stack.layout.wipe()


def sweep() -> None:
    """Remove the folders of test runs that were killed; their processes died with them."""
    for state in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        if os.access(state, os.W_OK) and not _has_owner(state):
            Layout(state).wipe()
            shutil.rmtree(state, ignore_errors=True)


def _servers_of_caller() -> dict[str, str]:
    caller = caller_settings(os.environ, read_assignments(LOCAL / "env"), given=frozenset())
    return {name: value for name, value in caller.items() if name in _SERVER_NAMES}


def _claim(state: Path) -> None:
    pid = os.getpid()
    (state / "owner").write_text(json.dumps([pid, processes.started_at(pid), processes.boot_id()]))


def _has_owner(state: Path) -> bool:
    path = state / "owner"
    if not path.exists():
        return True  # Just being made.
    pid, started, boot = json.loads(path.read_text())
    return bool(boot == processes.boot_id() and processes.started_at(pid) == started)
