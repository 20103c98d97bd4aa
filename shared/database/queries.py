"""Named statements: each service's SQL stands in `queries.sql` beside its store, every one captioned."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\s*$", re.MULTILINE)


class Queries:
    """The statements of one file as attributes."""

    def __init__(self, statements: dict[str, str]) -> None:
        self._statements = statements

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            raise AttributeError(f"no statement is named {name!r}") from None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._statements.items())


def load_queries(beside: str, name: str = "queries.sql") -> Queries:
    """The statements of `name` in the folder of the module file `beside`."""
    path = Path(beside).with_name(name)
    text = path.read_text(encoding="utf-8")
    found = list(_NAME.finditer(text))
    statements: dict[str, str] = {}
    for match, following in zip(found, [*found[1:], None], strict=True):
        body = text[match.end() : following.start() if following else len(text)].strip().removesuffix(";")
        if match["name"] in statements:
            raise ValueError(f"{path.name}: {match['name']} stands twice")
        statements[match["name"]] = body
    return Queries(statements)
