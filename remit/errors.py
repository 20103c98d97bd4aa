"""Expected trouble: one line for the operator and an exit code for the script that called."""

from __future__ import annotations

from shared.errors import RemitError

EXIT_OK = 0
# What was asked for did not hold: a figure differs, an invariant breaks, a transfer is not verified.
EXIT_FAILED = 1
# Wrong arguments or settings; also what argparse itself uses.
EXIT_USAGE = 2
# Nothing is wrong, and not everything has arrived yet.
EXIT_CATCHING_UP = 3
# A server does not answer.
EXIT_UNAVAILABLE = 4
# Stopped by Ctrl-C (128 + SIGINT), as shells expect.
EXIT_INTERRUPTED = 130


class CommandError(RemitError):
    """The command cannot go on."""

    def __init__(self, detail: str, exit_code: int = EXIT_FAILED) -> None:
        super().__init__(detail)
        self.exit_code = exit_code
