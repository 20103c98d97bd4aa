"""Which user of the machine a server runs as."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user of this machine."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    """Whether this process may act as other users."""
    return os.geteuid() == 0


def server_account(name: str) -> Account | None:
    """The packaged user of a server, if we are root and it exists; None means: run it as ourselves."""
    if not is_root():
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def private_folder(path: Path, owner: Account | None) -> Path:
    """Make `path` a folder that only its owner may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if owner is not None:
        os.chown(path, owner.uid, owner.gid)
    path.chmod(0o700)
    return path


def give(path: Path, owner: Account | None) -> None:
    """Hand a folder and all in it to `owner`, for example after it was moved or restored by root."""
    if owner is None or path.stat().st_uid == owner.uid:
        return
    for folder, _, files in os.walk(path):
        for entry in (Path(folder), *(Path(folder) / file for file in files)):
            os.chown(entry, owner.uid, owner.gid, follow_symlinks=False)
