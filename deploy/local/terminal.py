"""What the person at the terminal sees: one line a step, with its time."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from deploy.local.errors import StackError
from deploy.local.files import tail
from deploy.local.stack import PartStatus

LOG_LINES = 30


def say(text: str = "") -> None:
    """One line."""
    print(text, flush=True)


def step(part: str, text: str, seconds: float) -> None:
    """A step that is done."""
    say(f"  {part:<10} {text:<76} {seconds:5.1f} s")


def failure(error: StackError) -> None:
    """Which part failed, and the end of its log."""
    print(f"\nFailed: {error}", file=sys.stderr)
    lines = [] if error.log is None else tail(error.log, LOG_LINES)
    if lines:
        print("\n".join((f"--- the end of {error.log}", *lines)), file=sys.stderr)


def table(parts: Sequence[PartStatus]) -> None:
    """`make ps`."""
    say(f"{'name':<12} {'pid':>8}  {'state':<10} port")
    for part in parts:
        ports = ", ".join(str(port) for port in part.ports)
        say(f"{part.name:<12} {part.pid or '-':>8}  {part.state:<10} {ports}")
