"""Server-sent events as a client reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.support.bank import Session

Event = tuple[str, dict[str, Any]]


@contextmanager
def events_of(session: Session, client: httpx.Client, path: str) -> Iterator[Iterator[Event]]:
    """The events of a call that this person may make, for as long as the block runs."""
    with client.stream("GET", path, headers={"Authorization": f"Bearer {session.token}"}) as answer:
        assert answer.status_code == 200, answer.read()
        yield read_events(answer)


def read_events(answer: httpx.Response) -> Iterator[Event]:
    """Each event's name and data."""
    assert answer.headers["Content-Type"] == "text/event-stream"
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
