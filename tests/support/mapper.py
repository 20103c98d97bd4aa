"""Erlang's port mapper, played by us: nodes find each other through proxies, and so can be cut off from each other.

Each node is told of a mapper of its own (`ERL_EPMD_PORT`), which therefore knows who asks. Asked for a peer, it names
the port of the proxy between the two. The protocol: "EPMD Protocol" in the documentation of Erlang/OTP.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from itertools import permutations

from deploy.local.ports import LOOPBACK
from remit.prove.proxy import Proxy

_ALIVE, _ALIVE_ANSWER = 120, 118
_PORT_PLEASE, _PORT_ANSWER = 122, 119
_NAMES = 110
_NOT_FOUND = 1
# Until a node has said where it is: a port that nobody can listen on.
_NOWHERE = (LOOPBACK, 0)


class Mapper:
    """The mappers of a few nodes, and what lies between the nodes."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._servers: dict[str, asyncio.Server] = {}
        # By name: the port, and the rest of what the node said of itself.
        self._registered: dict[str, tuple[int, bytes]] = {}
        self._links = {pair: Proxy(*_NOWHERE) for pair in permutations(names, 2)}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Mapper]:
        """Serves until the block ends."""
        async with AsyncExitStack() as exits:
            for link in self._links.values():
                await exits.enter_async_context(link.running())
            for name in self._names:
                self._servers[name] = await asyncio.start_server(partial(self._serve, name), LOOPBACK, 0)
                exits.callback(self._servers[name].close)
            yield self

    def port(self, name: str) -> int:
        """Where this node's own mapper listens."""
        return int(self._servers[name].sockets[0].getsockname()[1])

    def cut_off(self, name: str) -> None:
        """Nothing passes between this node and the others, and nobody is told."""
        for link in self._links_of(name):
            link.stall()
            link.refusing = True

    async def join(self, name: str) -> None:
        """The node can reach the others again; what was on its way is lost."""
        for link in self._links_of(name):
            await link.cut()
            link.refusing = False
            link.resume()

    def _links_of(self, name: str) -> list[Proxy]:
        return [link for pair, link in self._links.items() if name in pair]

    async def _serve(self, asker: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            (length,) = struct.unpack(">H", await reader.readexactly(2))
            request = await reader.readexactly(length)
            kind, rest = request[0], request[1:]
            if kind == _ALIVE:
                await self._keep(rest, reader, writer)
            elif kind == _PORT_PLEASE:
                writer.write(self._port_answer(asker, rest.decode()))
            elif kind == _NAMES:
                writer.write(self._names_answer(asker))
        with suppress(OSError):
            writer.close()
            await writer.wait_closed()

    async def _keep(self, said: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A node is registered for as long as it keeps its connection."""
        (port, length), description = struct.unpack(">H6xH", said[:10]), said[2:]
        name = said[10 : 10 + length].decode()
        self._registered[name] = (port, description)
        for (_, to), link in self._links.items():
            if to == name:
                link.turn_to(LOOPBACK, port)
        writer.write(struct.pack(">BBI", _ALIVE_ANSWER, 0, port))
        await writer.drain()
        try:
            await reader.read()
        finally:
            if self._registered.get(name) == (port, description):
                del self._registered[name]

    def _port_answer(self, asker: str, name: str) -> bytes:
        if name not in self._registered:
            return bytes((_PORT_ANSWER, _NOT_FOUND))
        port, description = self._registered[name]
        link = self._links.get((asker, name))
        return struct.pack(">BBH", _PORT_ANSWER, 0, port if link is None else link.port) + description

    def _names_answer(self, asker: str) -> bytes:
        lines = "".join(f"name {name} at port {port}\n" for name, (port, _) in self._registered.items())
        return struct.pack(">I", self.port(asker)) + lines.encode()
