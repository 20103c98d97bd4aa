"""What is written about the API is what a running gateway says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.bank import Bank

_FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


def test_the_document_that_is_served_is_the_one_on_paper(bank: Bank) -> None:
    assert bank.client.get("/openapi.json").json() == json.loads(_FILE.read_text(encoding="utf-8"))
