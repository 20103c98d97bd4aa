"""The key of each item: from the file's hash, the line and the operation, whatever the batch it travels in."""

from __future__ import annotations

from enum import StrEnum

from shared.ids import derive


class Operation(StrEnum):
    """What a line is replayed as."""

    OPEN = "open"
    TRANSFER = "transfer"


def item_key(file_sha256: str, line: int, operation: Operation) -> str:
    """The idempotency key of one line: the same line of the same file pays once, in whatever batch or run."""
    return str(derive("replay", file_sha256, line, operation.value))
