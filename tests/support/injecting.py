"""Starting services with something of a test's inside them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_INJECTED = Path(__file__).with_name("injected")
_CHECKOUT = Path(__file__).resolve().parents[2]


def injected(settings: Mapping[str, str]) -> dict[str, str]:
    """Settings for a service that runs `injected/sitecustomize.py` before its own first line."""
    return {"PYTHONPATH": os.pathsep.join((str(_INJECTED), str(_CHECKOUT))), **settings}
