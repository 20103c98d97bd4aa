"""Running the `remit` program against a stack."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from deploy.local.errors import StackError
from deploy.local.layout import CHECKOUT
from deploy.local.services import FIXED_ENVIRONMENT, inherited_environment


def run_remit(
    arguments: tuple[str, ...],
    settings: Mapping[str, str],
    *,
    timeout_s: float,
    output: IO[bytes] | None = None,
    checkout: Path = CHECKOUT,
) -> int:
    """Its exit code; it speaks to `output`, or to our own terminal. `checkout` holds another release's."""
    try:
        done = subprocess.run(
            (sys.executable, "-m", "remit", *arguments),
            env={**inherited_environment(), **FIXED_ENVIRONMENT, **settings},
            cwd=checkout,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise StackError(arguments[0], f"did not end within {timeout_s:.0f} s") from None
    return done.returncode
