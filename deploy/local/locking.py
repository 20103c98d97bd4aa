"""One command at a time changes a stack."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock; wait for whoever holds it, and say so. The kernel lets go of it when a holder dies."""
    file = _acquire(path)
    try:
        yield
    finally:
        file.close()


def _acquire(path: Path) -> IO[str]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("w")
        _wait_for(file)
        # `make reset` removes the file at its end: what we waited for may be another file by now.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
        file.close()


def _wait_for(file: IO[str]) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another command is changing this stack; waiting for it", flush=True)
        fcntl.flock(file, fcntl.LOCK_EX)
