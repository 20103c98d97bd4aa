"""Tables that a command writes into a page, and the commit that they tell of."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[1]
_GIT_TIMEOUT_S = 10
BEGINS, ENDS = "<!-- table -->", "<!-- end of table -->"


def write_table(page: Path, table: str) -> None:
    """Puts `table` between the marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGINS)
    _, end, after = rest.partition(ENDS)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGINS} … {ENDS}")
    page.write_text(f"{before}{begin}\n{table}{end}{after}", encoding="utf-8")


def commit() -> str:
    """The commit that ran, or a word that there is none."""
    try:
        done: Any = subprocess.run(
            ("git", "describe", "--always", "--dirty"),  # noqa: S607 - whichever git there is
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return str(done.stdout.strip())
