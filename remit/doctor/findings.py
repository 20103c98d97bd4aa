"""One thing that was found: what it is, and what to do about it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class Level(StrEnum):
    """`note`: worth knowing, and nobody need act tonight."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence about the deployment; `do` is empty where there is nothing to be done."""

    level: Level
    says: str
    do: str = ""


def fine(says: str) -> Finding:
    """It is as it should be."""
    return Finding(level=Level.OK, says=says)


def noted(says: str, do: str = "") -> Finding:
    """It may be meant so."""
    return Finding(level=Level.NOTE, says=says, do=do)


def wrong(says: str, do: str) -> Finding:
    """It is not as it must be."""
    return Finding(level=Level.WRONG, says=says, do=do)


def first_line(error: BaseException) -> str:
    """What an error says in its first line, or its name where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
