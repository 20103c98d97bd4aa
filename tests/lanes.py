"""The tests in two runs of pytest side by side, each on servers of its own: `python -m tests.lanes [folders]`.

They are waiting for servers most of the time, so two take little more than the longer one. What is not whole lanes is
given to one pytest as it stands, with all its options; so are tests on servers that the caller named: both lanes would
empty the same queues.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from types import FrameType
from typing import IO

from deploy.local.addresses import caller_settings, external_servers
from deploy.local.errors import StackError
from deploy.local.files import read_assignments
from deploy.local.layout import LOCAL

# Balanced by the time they take. Unit tests want no server, so while they run only the other lane starts some.
LANES = (("tests/unit", "tests/e2e"), ("tests/integration",))
PYTEST = (sys.executable, "-m", "pytest")
# Whatever becomes of us, a lane clears up after itself.
_TIED = ("setpriv", "--pdeathsig", "INT", "--")


@dataclass(frozen=True)
class Lane:
    """A run of pytest over some folders; `kept` holds what it says until its turn has come, else it says it at once."""

    folders: Sequence[str]
    process: subprocess.Popen[bytes]
    kept: IO[bytes] | None

    def finish(self) -> int:
        """Wait for its end and tell what was kept; its exit code, as a shell would give it."""
        code = self.process.wait()
        if self.kept is not None:
            self.kept.seek(0)
            shutil.copyfileobj(self.kept, sys.stdout.buffer)
            sys.stdout.flush()
        return code if code >= 0 else 128 - code


def lanes_of(arguments: Sequence[str]) -> list[list[str]]:
    """The folders of each lane that `arguments` ask for; one list where they are not folders of several lanes."""
    wanted = [argument.rstrip("/") for argument in arguments] or [folder for lane in LANES for folder in lane]
    parts = [[folder for folder in lane if folder in wanted] for lane in LANES]
    is_whole = sorted(wanted) == sorted(folder for part in parts for folder in part)
    return parts if is_whole and all(parts) else [list(arguments)]


def run(lanes: Sequence[Sequence[str]]) -> int:
    """Run them together and tell them one after the other; 0 if all of them passed."""
    begun = time.monotonic()
    started: list[Lane] = []
    _pass_signals_on_to(started)
    with ExitStack() as files:
        for folders in lanes:
            # The first speaks at once.
            started.append(_start(folders, files.enter_context(TemporaryFile()) if started else None))
        codes = [lane.finish() for lane in started]
    for lane, code in zip(started, codes, strict=True):
        print(f"{'passed' if code == 0 else f'ended with exit code {code}'}: {' '.join(lane.folders)}")
    print(f"side by side in {time.monotonic() - begun:.0f} s")
    return next((code for code in codes if code != 0), 0)


def _start(folders: Sequence[str], kept: IO[bytes] | None) -> Lane:
    colour = ["--color=yes"] if sys.stdout.isatty() and "NO_COLOR" not in os.environ else []
    process = subprocess.Popen(
        [*_TIED, *PYTEST, *colour, *folders],
        stdin=subprocess.DEVNULL,
        stdout=kept,
        stderr=None if kept is None else subprocess.STDOUT,
        # Ctrl-C reaches a lane once, by us: a second one would break off its clearing up.
        process_group=0,
    )
    return Lane(folders, process, kept)


def _pass_signals_on_to(lanes: Sequence[Lane]) -> None:
    """Each ends the lanes as Ctrl-C does: of others pytest dies without clearing up."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for lane in lanes:
            lane.process.send_signal(signal.SIGINT)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)


def are_private() -> bool:
    """Whether each lane can start servers of its own. What is wrong with the choice pytest says better."""
    try:
        return not external_servers(caller_settings(os.environ, read_assignments(LOCAL / "env"), given=frozenset()))
    except StackError:
        return False


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    lanes = lanes_of(arguments)
    if len(lanes) > 1 and are_private():
        return run(lanes)
    os.execv(PYTEST[0], [*PYTEST, *arguments])  # noqa: S606 - no shell is wanted
    raise AssertionError("unreachable: pytest has taken our place")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
