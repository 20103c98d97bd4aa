"""What the operator sees: tables and bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table

from remit.invariants import Result, Status

_LINE_EVERY_S = 2.0
_STYLES = {Status.OK: "green", Status.CATCHING_UP: "yellow", Status.BREACH: "red"}


class Meter(Protocol):
    """Counts work done, stage by stage."""

    def stage(self, name: str, total: int, done: int = 0) -> None: ...

    def advance(self, count: int) -> None: ...


def console() -> Console:
    """Standard output. Where it is no terminal, lines are not folded to a guessed width."""
    return Console() if sys.stdout.isatty() else Console(width=160)


def table(*columns: str) -> Table:
    """A quiet table; columns whose name begins with `>` are numbers, flush right. Without names there is no header."""
    is_named = any(column.strip(">") for column in columns)
    made = Table(box=None, pad_edge=False, header_style="dim", show_header=is_named)
    for column in columns:
        made.add_column(column.removeprefix(">"), justify="right" if column.startswith(">") else "left")
    return made


def show_results(out: Console, what: str, results: Sequence[Result], *, with_seconds: bool = False) -> None:
    """What was checked, and below it all that does not hold."""
    found = table(what, "", "figure", *([">seconds"] if with_seconds else []))
    for result in results:
        style = _STYLES[result.status]
        status = f"[{style}]{result.status.value.replace('_', ' ')}[/{style}]"
        found.add_row(result.name, status, result.figure, *([f"{result.elapsed_s:.2f}"] if with_seconds else []))
    out.print(found)
    for result in results:
        for line in result.detail:
            out.print(f"{result.name}: {line}", style=_STYLES[result.status], highlight=False, markup=False)


@contextmanager
def metering(out: Console) -> Iterator[Meter]:
    """A bar a stage on a terminal, a line every two seconds elsewhere."""
    if not out.is_terminal:
        yield _Lines(out)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=out) as bars:
        yield _Bars(bars)


class _Bars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task: TaskID | None = None
        self._done, self._begun_s = 0, 0.0

    def stage(self, name: str, total: int, done: int = 0) -> None:
        self._task = self._bars.add_task(name, total=total, completed=done, rate="")
        self._done, self._begun_s = 0, time.monotonic()

    def advance(self, count: int) -> None:
        if self._task is None:
            return
        self._done += count
        elapsed_s = max(time.monotonic() - self._begun_s, 0.001)
        self._bars.update(self._task, advance=count, rate=f"{self._done / elapsed_s:,.0f}/s")


class _Lines:
    def __init__(self, out: Console) -> None:
        self._out = out
        self._name, self._total, self._done, self._next_s = "", 0, 0, 0.0

    def stage(self, name: str, total: int, done: int = 0) -> None:
        self._name, self._total, self._done, self._next_s = name, total, done, 0.0

    def advance(self, count: int) -> None:
        self._done += count
        now_s = time.monotonic()
        if now_s >= self._next_s or self._done >= self._total:
            self._out.print(f"{self._name}: {self._done:,} of {self._total:,}")
            self._next_s = now_s + _LINE_EVERY_S
