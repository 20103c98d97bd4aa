"""`python -m shared.contracts.paper` writes docs/asyncapi.yaml; a test compares the file with the code.

YAML as far as one document needs it: blocks of maps and lists, and scalars as JSON writes them, which YAML takes. What
runs needs no YAML otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.contracts import asyncapi

FILE = Path(__file__).resolve().parents[2] / "docs" / "asyncapi.yaml"

_INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z$][\w$./-]*")
_HEAD = "# Made by `make contracts` from shared/contracts; not to be edited.\n"


def text() -> str:
    """The document as it stands in the file."""
    return _HEAD + "".join(f"{line}\n" for line in _block(asyncapi.document(), ""))


def _block(node: Any, indent: str) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _entry(f"{indent}{_key(name)}:", value, indent + _INDENT)
    else:
        for value in node:
            yield from _entry(f"{indent}-", value, indent + _INDENT)


def _entry(head: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield head
        yield from _block(value, indent)
    else:
        yield f"{head} {json.dumps(value, ensure_ascii=False)}"


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
