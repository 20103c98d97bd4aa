"""HTTP on an open network: what one client may hold, and for how long, before it is cut off.

The server's own protocol waits for ever for a head, a body, or a reader. Each such connection costs memory and a
descriptor, so that a few thousand silent clients would be enough to lock out all others.
"""

from __future__ import annotations

import asyncio
import math
import resource
from dataclasses import dataclass
from typing import Any

import httptools
from prometheus_client import Counter
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CUT = Counter("remit_http_cut_total", "Connections that were cut off or not let in, by reason.", ["reason"])

# Of one message beside its body: head, chunk sizes, trailers. More than one read of the event loop (256 KiB) can hold.
_FRAMING_BYTES_MAX = 512 * 1024
# What may stand behind a request on its connection before that is answered.
_PIPELINED_MAX = 16
# For the request of a connection that was made just before this end stops listening.
_LAST_REQUEST_WITHIN_S = 0.5
# What is copied to be sent with something else; more goes by itself.
_JOINED_BYTES_MAX = 64 * 1024
# Left for servers, files and pipes when connections have taken what they may.
_DESCRIPTORS_SPARED = 256


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What clients may hold. Times in seconds; a cut may come half a `head_timeout_s` late."""

    connections_max: int = 1_000
    # From the first byte, or from the connection, to the end of the head.
    head_timeout_s: float = 10.0
    # From there to the end of the body.
    body_timeout_s: float = 30.0
    # For a client that takes nothing of what it was sent.
    read_timeout_s: float = 30.0
    # Between an answer and the next request.
    keep_alive_timeout_s: int = 5


def connections_possible(wanted: int) -> int:
    """How many connections this process can hold, at most `wanted`; its limit of descriptors is raised for them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _DESCRIPTORS_SPARED
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - _DESCRIPTORS_SPARED))


class JoiningTransport:
    """A connection that writes an answer's head with the first part of its body, or else in the next turn of the loop.

    The server hands over one after the other: two calls of the kernel and two packets for each answer.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held = b""
        self._flushing: asyncio.Handle | None = None
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        """Sends it with what is held, or holds it for one turn."""
        if self._flushing is None and len(data) < _JOINED_BYTES_MAX:
            self._held = data
            self._flushing = self._loop.call_soon(self._flush)
        elif self._flushing is not None and len(data) < _JOINED_BYTES_MAX:
            self._held += data
            self._flush()
        else:
            self._flush()
            self._transport.write(data)

    def close(self) -> None:
        """Sends what is held, and ends the connection."""
        self._flush()
        self._transport.close()

    def abort(self) -> None:
        """Ends the connection, whatever was not sent."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        self._transport.abort()

    def _flush(self) -> None:
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
            self._transport.write(self._held)


class BoundedProtocol(HttpToolsProtocol):
    """The server's protocol with deadlines. One timer a connection, none a request."""

    def __init__(self, *args: Any, bounds: Bounds, **options: Any) -> None:
        super().__init__(*args, **options)
        self._bounds = bounds
        self._read_by = math.inf
        self._write_by = math.inf
        self._in_head = False
        self._framing_bytes = 0
        self._body_bytes = 0
        self._watch: asyncio.TimerHandle | None = None
        self._asked = False
        self._leaving = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in the base class
        """Lets the connection in while there is room, and expects a head."""
        super().connection_made(transport)
        self.transport = JoiningTransport(transport, self.loop)  # type: ignore[assignment] # all of it that is used
        if len(self.connections) > self._bounds.connections_max:
            CUT.labels("connections").inc()
            self.turn_away()
            return
        self._read_by = self.loop.time() + self._bounds.head_timeout_s
        self._look_later()

    def turn_away(self) -> None:
        """Ends a connection for which there is no room."""
        self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        super().connection_lost(exc)
        if self._watch is not None:
            self._watch.cancel()

    def data_received(self, data: bytes) -> None:
        """Parses; what cannot be parsed, or never becomes a message, ends the connection."""
        self._unset_keepalive_if_required()
        if self._read_by == math.inf:
            self._read_by = self.loop.time() + self._bounds.head_timeout_s
        self._body_bytes = 0
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # No other protocol is spoken here: the request is answered as if nobody had asked, and is the last one.
            self.cycle.keep_alive = False
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self.send_400_response("")
            return
        self._framing_bytes += len(data) - self._body_bytes
        if self._framing_bytes > _FRAMING_BYTES_MAX:
            self._cut("size")

    def on_message_begin(self) -> None:
        """A head begins."""
        if len(self.pipeline) >= _PIPELINED_MAX:
            self._cut("pipeline")
            raise ConnectionAbortedError
        super().on_message_begin()
        self._in_head = True
        self._framing_bytes = 0
        self._read_by = self.loop.time() + self._bounds.head_timeout_s

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes what stands in the head. A trailer adds nothing to it (RFC 9110, 6.5.1)."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; a body may follow."""
        self._in_head = False
        self._asked = True
        self._read_by = self.loop.time() + self._bounds.body_timeout_s
        super().on_headers_complete()
        if self._leaving:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The message is whole."""
        self._read_by = math.inf
        self._framing_bytes = 0
        super().on_message_complete()

    def shutdown(self) -> None:
        """Ends the connection after what is under way on it, or after the request that it was made for a moment ago."""
        self._leaving = True
        if self._asked:
            super().shutdown()
        else:
            self.loop.call_later(_LAST_REQUEST_WITHIN_S, self._close_unasked)

    def _close_unasked(self) -> None:
        if not self._asked:
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not take what it is sent."""
        self._write_by = self.loop.time() + self._bounds.read_timeout_s
        super().pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._write_by = math.inf
        super().resume_writing()

    def _look_later(self) -> None:
        soon = self.loop.time() + self._bounds.head_timeout_s / 2
        self._watch = self.loop.call_at(soon, self._look)

    def _look(self) -> None:
        now = self.loop.time()
        if self._write_by == math.inf and self.transport.is_closing():
            # Closed from here, and what was left to send is not taken.
            self._write_by = now + self._bounds.read_timeout_s
        if now >= self._write_by:
            self._cut("unread")
        # Where the server itself does not read on, the client is not late.
        elif now >= self._read_by and not self.flow.read_paused:
            self._cut("head" if self._in_head or self.cycle is None or self.cycle.response_complete else "body")
        else:
            self._look_later()

    def _cut(self, reason: str) -> None:
        CUT.labels(reason).inc()
        self.transport.abort()
