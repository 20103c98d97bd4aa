"""Small private files, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from deploy.local.accounts import Account


def write_private(path: Path, text: str, *, owner: Account | None = None) -> None:
    """Replace `path` in one step; only its owner may read it (mode 0600)."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    new = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        if owner is not None:
            os.chown(new, owner.uid, owner.gid)
        new.replace(path)
    except BaseException:
        new.unlink()
        raise


def read_assignments(path: Path) -> dict[str, str]:
    """The `KEY=value` lines of a file; nothing if there is no such file."""
    if not path.exists():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {key.strip(): value for key, _, value in pairs}


def write_assignments(path: Path, values: Mapping[str, str]) -> None:
    """`KEY=value` lines, in order, as a private file."""
    write_private(path, "".join(f"{key}={value}\n" for key, value in values.items()))


def tail(path: Path, lines: int, *, window_bytes: int = 64 * 1024) -> list[str]:
    """The last lines of a log; nothing if it does not exist."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - window_bytes))
        return file.read().decode("utf-8", "replace").splitlines()[-lines:]
