"""Where programs are found, also those that Debian keeps out of an ordinary user's PATH."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Started programs get this and nothing of the caller's, whose PG*, RABBITMQ_* or ERL_* settings must not leak in.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Program:
    """A server program and its version."""

    path: Path
    version: tuple[int, ...]

    @property
    def release(self) -> str:
        """The version as people write it."""
        return ".".join(map(str, self.version))


def search_path() -> str:
    """The caller's PATH, then the system's."""
    return f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"


def which(name: str) -> Path | None:
    """The program of that name, if there is one."""
    found = shutil.which(name, path=search_path())
    return Path(found) if found else None


def version_in(text: str) -> tuple[int, ...]:
    """The first dotted number in `text`; empty if there is none."""
    match = re.search(r"\d+(?:\.\d+)+", text)
    return tuple(map(int, match[0].split("."))) if match else ()


@cache
def ask_version(path: Path) -> tuple[int, ...]:
    """What `<program> --version` says; empty if it cannot run."""
    try:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return ()
    return version_in(answer.stdout) if answer.returncode == 0 else ()


def best(paths: list[Path], least: tuple[int, ...]) -> Program | None:
    """The highest version among the programs that run and are recent enough."""
    programs = (Program(path=path, version=ask_version(path)) for path in paths)
    return max((p for p in programs if p.version >= least), key=lambda p: p.version, default=None)
