"""Waiting for facts, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Fact = TypeVar("Fact")

_POLL_S = 0.02


async def eventually(look: Callable[[], Awaitable[Fact]], *, timeout_s: float = 15.0) -> Fact:
    """What `look` sees once it is true; it is asked again until then.

    Raises:
        AssertionError: it did not become true in time; the message holds what was seen last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = await look()
        if seen:
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: last seen {seen!r}")
        await asyncio.sleep(_POLL_S)
