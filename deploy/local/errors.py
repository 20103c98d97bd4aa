"""What the launcher tells the person at the terminal when it cannot go on."""

from __future__ import annotations

from pathlib import Path


class StackError(Exception):
    """A part of the stack could not be brought to where it was wanted.

    The message is one line. `log`, where there is one, is the file whose end explains it.
    """

    def __init__(self, part: str, problem: str, *, log: Path | None = None) -> None:
        super().__init__(f"{part}: {problem}")
        self.part = part
        self.log = log
