"""Waiting for facts, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Fact = TypeVar("Fact")

_POLL_S = 0.02

# For gateways of tests that are not about time-outs. A second without an answer is an outage to those who run Remit,
# and an everyday matter on a machine on which the tests are not alone.
PATIENT = {"REMIT_GATEWAY_PUBLISH_TIMEOUT_S": "10", "REMIT_GATEWAY_REDIS_TIMEOUT_S": "10"}


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


def until(look: Callable[[], Fact], is_so: Callable[[Fact], object] = bool, *, within_s: float = 20.0) -> Fact:
    """As `eventually`, for tests that do not await: what `look` sees once `is_so` of it, by itself once it is true."""
    deadline = time.monotonic() + within_s
    while not is_so(seen := look()):
        assert time.monotonic() < deadline, f"not within {within_s} s: last seen {seen!r}"
        time.sleep(_POLL_S)
    return seen
