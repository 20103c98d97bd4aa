"""A TCP proxy that misbehaves on demand: it delays, stalls, cuts, refuses, or loses the answer to a COMMIT."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_CHUNK_BYTES = 65_536
_CONNECT_TIMEOUT_S = 5.0
# What a PostgreSQL client sends to end a transaction: a simple query, its text and a zero byte.
_COMMIT = b"COMMIT;\0"
# Linger for no time at all: the peer gets a reset instead of a clean end.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on a port of its own and passes every connection on to `host:port`; with `others`, to each in turn.

    All faults act on open and on new connections alike, until they are taken back.
    """

    def __init__(self, host: str, port: int, *others: tuple[str, int]) -> None:
        # The next connection is the first one's; it goes to the end then.
        self._upstreams = deque(((host, port), *others))
        self._server: asyncio.Server | None = None
        self._open: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()
        # Answers travel this much later, seconds.
        self.delay_s = 0.0
        # Set: bytes flow. Cleared: nobody hears anything, and nobody is told.
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.refusing = False
        # How many more answers to a COMMIT are to be lost, with their connection.
        self.commits_to_cut = 0
        self.commits_cut = 0

    @property
    def port(self) -> int:
        """Where it listens, on loopback."""
        if self._server is None:
            raise RuntimeError("the proxy is not running")
        return int(self._server.sockets[0].getsockname()[1])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Proxy]:
        """Serves until the block ends."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()
            self.resume()
            await self.cut()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def turn_to(self, host: str, port: int) -> None:
        """New connections are passed on to this place alone."""
        self._upstreams = deque(((host, port),))

    def stall(self) -> None:
        """Nothing passes in either direction, and no connection ends."""
        self._flowing.clear()

    def resume(self) -> None:
        """What was stalled flows on."""
        self._flowing.set()

    async def cut(self) -> None:
        """Reset every open connection; new ones are served."""
        for pair in tuple(self._open):
            pair.abort()
        await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        onward = await self._onward()
        if onward is None:
            writer.transport.abort()
            return
        pair = _Pair(self, (reader, writer), onward)
        self._open.add(pair)
        try:
            await pair.run()
        finally:
            self._open.discard(pair)

    async def _onward(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        """A connection to the next that takes one."""
        for _ in range(len(self._upstreams)):
            upstream = self._upstreams[0]
            self._upstreams.rotate(-1)
            with contextlib.suppress(OSError):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    return await asyncio.open_connection(*upstream)
        return None

    async def passes(self) -> None:
        """Returns when bytes may flow."""
        await self._flowing.wait()

    def cuts_this_commit(self) -> bool:
        """Whether the answer to the COMMIT that was just sent is to be lost; each is counted."""
        if self.commits_to_cut <= 0:
            return False
        self.commits_to_cut -= 1
        self.commits_cut += 1
        return True


class _Pair:
    """One connection, both its ends."""

    def __init__(
        self,
        proxy: Proxy,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._answer_is_lost = False

    async def run(self) -> None:
        """Passes bytes until either end closes."""
        there = asyncio.create_task(self._there())
        back = asyncio.create_task(self._back())
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.abort()
            there.cancel()
            back.cancel()
            await asyncio.gather(there, back, return_exceptions=True)

    def abort(self) -> None:
        """Resets both at once."""
        for _, writer in (self._client, self._server):
            with contextlib.suppress(OSError, RuntimeError):
                if not writer.transport.is_closing():
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()

    async def _there(self) -> None:
        while data := await self._client[0].read(_CHUNK_BYTES):
            await self._proxy.passes()
            if data.endswith(_COMMIT) and self._proxy.cuts_this_commit():
                self._answer_is_lost = True
            self._server[1].write(data)
            await self._server[1].drain()

    async def _back(self) -> None:
        while data := await self._server[0].read(_CHUNK_BYTES):
            if self._answer_is_lost:
                return  # The server has committed; its client will never hear of it on this connection.
            if self._proxy.delay_s:
                await asyncio.sleep(self._proxy.delay_s)
            await self._proxy.passes()
            self._client[1].write(data)
            await self._client[1].drain()
