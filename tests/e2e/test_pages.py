"""The pages that show how to call the API, word for word: each example runs and prints what its page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.stack import Stack
from tests.support import pages


@pytest.mark.parametrize(
    ("page", "language", "examples_min"),
    [("client.md", "python", 10), ("http.md", "python", 8), ("http.md", "sh", 8)],
)
def test_every_example_prints_what_the_page_says(
    stack: Stack, tmp_path: Path, page: str, language: str, examples_min: int
) -> None:
    examples = pages.run(page, language, stack.env, tmp_path)
    assert len(examples) >= examples_min
    for example in examples:
        assert example.holds, f"printed:\n{example.printed}\nthe page says:\n{example.said}"
