"""Where a stack keeps its files, and who must be able to enter there."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deploy.local.accounts import is_root

CHECKOUT = Path(__file__).resolve().parents[2]
LOCAL = CHECKOUT / ".local"

# Data of checkouts that the servers' own users could not reach.
SHARED_DATA = Path("/var/lib/remit")


@dataclass(frozen=True)
class Layout:
    """The files of one stack, below its `state` folder."""

    state: Path

    @property
    def data(self) -> Path:
        """The servers' data; a link to below /var/lib/remit where other users cannot enter the state folder."""
        return self.state / "data"

    @property
    def logs(self) -> Path:
        """One log a process."""
        return self.state / "log"

    @property
    def run(self) -> Path:
        """One record a running process."""
        return self.state / "run"

    @property
    def secrets(self) -> Path:
        """The passwords of this stack, made once."""
        return self.state / "secrets"

    @property
    def env(self) -> Path:
        """What clients of the stack need to know."""
        return self.state / "env"

    @property
    def given(self) -> Path:
        """The names of the addresses that the caller of the last start chose."""
        return self.state / "given"

    @property
    def ports(self) -> Path:
        """The ports chosen so far, kept over restarts."""
        return self.state / "ports"

    @property
    def containers(self) -> Path:
        """Which servers run in containers, under which names and ports."""
        return self.state / "containers"

    @property
    def lock(self) -> Path:
        """Held while a command changes the stack."""
        return self.state / "lock"

    def log(self, name: str) -> Path:
        """The log of one process."""
        return self.logs / f"{name}.log"

    def home(self, server: str) -> Path:
        """Everything of one server, by a path that its user can follow."""
        return self.data.resolve() / server

    def create(self) -> None:
        """Make the folders. Other users may pass through the state folder to their server's data, and no more."""
        for folder, mode in ((self.state, 0o711), (self.logs, 0o700), (self.run, 0o700)):
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)

    def place_data(self) -> None:
        """Make the data folder where the servers' users can enter it. No server may be running."""
        target = self._shared_target()
        if self.data.is_symlink() and self.data.readlink() != target:
            self.data.unlink()  # A copied checkout: the link still names the original's data.
        if not self.data.is_symlink() and is_root() and not enterable(self.state):
            self._move_to(target)
        else:
            self.data.resolve().mkdir(parents=True, exist_ok=True)
        self.data.resolve().chmod(0o711)

    def wipe(self) -> None:
        """Remove all files, the lock last."""
        if self.data.is_symlink():
            for folder in (self._shared_target(), _abandoned(self._shared_target())):
                shutil.rmtree(folder, ignore_errors=True)
            self.data.unlink()
        for entry in self._entries():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        shutil.rmtree(self.state, ignore_errors=True)

    def _entries(self) -> Iterable[Path]:
        return [entry for entry in self.state.iterdir() if entry != self.lock]

    def _shared_target(self) -> Path:
        return SHARED_DATA / hashlib.sha256(str(self.state.resolve()).encode()).hexdigest()[:16]

    def _move_to(self, target: Path) -> None:
        SHARED_DATA.mkdir(mode=0o755, parents=True, exist_ok=True)
        if target.exists():
            # Of a checkout that stood here before and was removed without `make reset`: a new one begins anew.
            shutil.rmtree(_abandoned(target), ignore_errors=True)
            target.rename(_abandoned(target))
        if self.data.is_dir():
            shutil.move(self.data, target)
        target.mkdir(exist_ok=True)
        self.data.symlink_to(target)


def _abandoned(target: Path) -> Path:
    return target.with_suffix(".abandoned")


def enterable(path: Path) -> bool:
    """Whether users without special rights may pass through every folder down to `path`."""
    resolved = path.resolve()
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (resolved, *resolved.parents))
