"""`python -m shared.contracts.export` writes the JSON Schema of every message; a test compares files and code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shared.contracts.base import Message
from shared.contracts.envelope import MESSAGES

FOLDER = Path(__file__).with_name("schemas")


def schemas() -> Mapping[str, str]:
    """File name -> JSON Schema (2020-12) of one message type and version."""
    return {file_name(name, message): _schema(name, message) for name, message in MESSAGES.items()}


def file_name(name: str, message: type[Message]) -> str:
    """The file of one message type and version."""
    return f"{name}.v{message.VERSION}.json"


def _schema(name: str, message: type) -> str:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": name,
        **msgspec.json.schema(message),
    }
    return json.dumps(schema, indent=2, sort_keys=True) + "\n"


def main() -> None:
    """Writes the files, and removes those of types that are gone."""
    FOLDER.mkdir(exist_ok=True)
    current = schemas()
    for path in FOLDER.glob("*.json"):
        if path.name not in current:
            path.unlink()
    for name, text in current.items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
