"""A client that costs next to nothing: requests are bytes, answers are looked at for their status and length only."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)

# Servers keep a silent connection for five seconds or more.
_IDLE_S_MAX = 3.0

Answered = Callable[["Connection", int], None]


class Connection(asyncio.Protocol):
    """One kept connection, one request at a time. `answered` hears each status; 0 is a connection that was lost."""

    def __init__(self, answered: Answered) -> None:
        self._answered = answered
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._is_waiting = False
        self._used_at = time.monotonic()

    @property
    def is_usable(self) -> bool:
        """Whether it is open, and not idle for so long that the server may be closing it just now."""
        is_open = self._transport is not None and not self._transport.is_closing()
        return is_open and time.monotonic() - self._used_at < _IDLE_S_MAX

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes) -> None:
        """One request; the one before has been answered."""
        self._is_waiting = True
        if self._transport is None:
            self._tell(0)
        else:
            self._transport.write(request)

    def close(self) -> None:
        """Lets go of it; whoever waits hears 0."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Waits for the whole answer. Remit's answers to these requests all say their length."""
        self._buffer += data
        head = self._buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        length = _LENGTH.search(self._buffer, 0, head)
        if len(self._buffer) < head + 4 + (int(length[1]) if length else 0):
            return
        status, self._buffer = int(self._buffer[9:12]), b""
        self._tell(status)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter
        """The answer will not come."""
        self._transport = None
        self._buffer = b""
        self._tell(0)

    def _tell(self, status: int) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._used_at = time.monotonic()
            self._answered(self, status)
