"""Python imports this first where its folder stands on PYTHONPATH: what tests do to a service from inside begins here.

None of it is in production code. A service started so can be told to die at a seam (`tests.support.crashing`), or has a
bug from the start (`tests.support.planting`).
"""

from __future__ import annotations

import os
import sys

from tests.support.crashing import SETTING as CRASH
from tests.support.crashing import install
from tests.support.planting import SETTING as PLANT
from tests.support.planting import plant


def _service() -> str | None:
    arguments = sys.orig_argv
    module = arguments[arguments.index("-m") + 1] if "-m" in arguments else ""
    return module.removeprefix("services.") if module.startswith("services.") else None


if (service := _service()) is not None:
    if folder := os.environ.get(CRASH):
        install(service, folder)
    if bug := os.environ.get(PLANT):
        plant(bug, service)
