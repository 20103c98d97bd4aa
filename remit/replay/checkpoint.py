"""What is known to have ended, so that a second run need not ask. It saves time; correctness rests on the keys."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec


class Tally(msgspec.Struct, kw_only=True):
    """How the first `ended` transfers of the file came out; `refused` counts by reason."""

    ended: int = 0
    completed: int = 0
    refused: dict[str, int] = {}

    def count(self, reasons: Iterable[str | None]) -> None:
        """Counts ended transfers; a completed one has no reason."""
        found = Counter(reasons)
        self.ended += found.total()
        self.completed += found.pop(None, 0)
        for reason, number in found.items():
            if reason is not None:
                self.refused[reason] = self.refused.get(reason, 0) + number


def identity(*, transfers_sha256: str, api_url: str, accounts: Iterable[tuple[str, str, str]]) -> str:
    """What a tally is valid for: this file, this API, and these accounts (name, id, time of opening).

    The times are in it because the ids derive from the file: a stack that was wiped opens the same ids anew.
    """
    total = hashlib.sha256(f"{transfers_sha256}\n{api_url}\n".encode())
    for account in accounts:
        total.update(msgspec.json.encode(account))
    return total.hexdigest()


def state_folder(local: Path | None, xdg_state_home: str | None, home: Path) -> Path:
    """Beside the stack's own files where there is such a stack, so that it is wiped with it; else the user's state."""
    if local is not None:
        return local / "replay"
    return (Path(xdg_state_home) if xdg_state_home else home / ".local" / "state") / "remit" / "replay"


class Checkpoint:
    """One small file a replay, replaced whole after each batch."""

    def __init__(self, folder: Path, replay: str) -> None:
        self._path = folder / f"{replay[:32]}.json"

    def load(self) -> Tally:
        """What is known; nothing, where the file is missing or damaged."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Tally)
        except (OSError, msgspec.DecodeError):
            return Tally()

    def save(self, tally: Tally) -> None:
        """Remembers `tally`. Without fsync: what a crash of the machine loses is only asked again."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(tally))
        new.replace(self._path)
