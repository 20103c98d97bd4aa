"""What a replay came to, and whether that was expected."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from remit.errors import EXIT_USAGE, CommandError


class Expected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Figures to be met; those that are left out are not compared. `sum` by currency, as decimal strings."""

    accounts: int | None = None
    transfers: int | None = None
    completed: int | None = None
    refused: dict[str, int] | None = None
    sum: dict[str, str] | None = None
    balances_sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What came out. `refused` counts by reason."""

    accounts: int
    transfers: int
    completed: int
    refused: Mapping[str, int] = field(default_factory=Counter)
    sum: Mapping[str, str] = field(default_factory=dict)
    balances_sha256: str = ""


def balances_sha256(balances_minor: Mapping[str, int]) -> str:
    """SHA-256 over a line `id,minor_units` an account, joined by newlines, none at the end.

    Sorted by id: as numbers where all ids are numbers, else as text.
    """
    ids = (
        sorted(balances_minor, key=int) if all(_is_number(name) for name in balances_minor) else sorted(balances_minor)
    )
    text = "\n".join(f"{name},{balances_minor[name]}" for name in ids)
    return hashlib.sha256(text.encode()).hexdigest()


def read_expected(path: Path) -> Expected:
    """The figures in a JSON file.

    Raises:
        CommandError: it cannot be read, or holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Expected)
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(f"--expect {path}: {error}", EXIT_USAGE) from None


def differences(expected: Expected, figures: Figures) -> list[str]:
    """One line a figure that differs."""
    wanted: dict[str, Any] = {name: getattr(expected, name) for name in Expected.__struct_fields__}
    found: dict[str, Any] = {name: _plain(getattr(figures, name)) for name in wanted}
    return [
        f"{name}: expected {value}, found {found[name]}"
        for name, value in wanted.items()
        if value is not None and value != found[name]
    ]


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal()
