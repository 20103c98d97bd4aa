"""`docs/specification.md` promises tests: each row names at least one, and each that it names is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_NAMED = re.compile(r"`([a-z_0-9/]+\.py)::(test_\w+)`")


def _rows() -> list[str]:
    lines = (_ROOT / "docs" / "specification.md").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| sentence")]


def _tests(path: str) -> set[str]:
    file = _ROOT / "tests" / path
    tree = ast.parse(file.read_text(encoding="utf-8")) if file.exists() else ast.parse("")
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_sentence_names_a_test() -> None:
    assert [row for row in _rows() if not _NAMED.search(row)] == []


def test_each_named_test_is_there() -> None:
    named = {match for row in _rows() for match in _NAMED.findall(row)}
    assert len(named) > 50
    assert sorted(f"{path}::{name}" for path, name in named if name not in _tests(path)) == []
