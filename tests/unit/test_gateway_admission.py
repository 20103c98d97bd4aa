"""The gateway's edge in this process: what is let in, what is refused, and who is cut off."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from services.gateway.http import admission
from services.gateway.http.admission import Admission
from services.gateway.http.frame import Frame
from services.gateway.http.protocol import Protocol
from shared.http import Bounds, connections_possible
from shared.runtime import serve_http
from tests.support.waiting import eventually

_BOUNDS = Bounds(connections_max=50, head_timeout_s=20, body_timeout_s=20, read_timeout_s=20,
                 keep_alive_timeout_s=20)  # fmt: skip
# For tests of who is cut off: what comes too late for these may come from a slow machine, too.
_IMPATIENT = Bounds(connections_max=50, head_timeout_s=0.4, body_timeout_s=0.4, read_timeout_s=0.4,
                    keep_alive_timeout_s=1)  # fmt: skip
# More than the kernel's buffers hold.
_LARGE = 32 * 1024 * 1024


class _Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def ask(self, target: str, *headers: str, method: str = "GET", body: bytes = b"") -> None:
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers, *length]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def answer(self, *, has_body: bool = True) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(10):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            body = await self.reader.readexactly(int(headers["content-length"])) if has_body else b""
        return int(head[0].split()[1]), headers, body

    async def rest(self) -> bytes:
        """Until the server closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def close(self) -> None:
        self._writer.close()


class _Edge:
    """A server whose calls to `/wait` end when they are told to, `/body` reads, `/large` sends much."""

    def __init__(self, port: int, calls_max: int) -> None:
        self.port = port
        self.admission = Admission(calls_max=calls_max)
        self.go_on = asyncio.Event()
        self.stop = asyncio.Event()
        self.begun: list[str] = []
        self.seen: list[dict[bytes, bytes]] = []
        self._clients: list[_Client] = []

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["path"])
        size = 0
        if scope["path"] == "/wait":
            await self.go_on.wait()
        if scope["path"] == "/body":
            while True:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body"):
                    break
        self.seen.append(dict(scope["headers"]))
        body = b"x" * _LARGE if scope["path"] == "/large" else json.dumps({"size": size}).encode()
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", str(len(body)).encode())]})  # fmt: skip
        await send({"type": "http.response.body", "body": body})

    async def client(self) -> _Client:
        client = _Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def begins(self, count: int) -> None:
        """Returns when so many calls have reached the application."""

        async def has_begun() -> bool:
            return len(self.begun) >= count

        await eventually(has_begun)

    def close(self) -> None:
        self.go_on.set()
        for client in self._clients:
            client.close()


@asynccontextmanager
async def _edge(calls_max: int = 2, bounds: Bounds = _BOUNDS, leave_s: float = 0.0) -> AsyncIterator[_Edge]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    edge = _Edge(port, calls_max)
    protocol = partial(Protocol, admission=edge.admission)
    serving = asyncio.create_task(
        serve_http(Frame(edge.serve), host="127.0.0.1", port=port, stop=edge.stop, leave_s=leave_s, drain_timeout_s=1,
                   protocol=protocol, bounds=bounds)
    )  # fmt: skip

    async def is_served() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(is_served)
        yield edge
    finally:
        edge.close()
        edge.stop.set()
        await serving


async def test_what_is_more_than_can_be_done_is_refused_at_once_and_health_never() -> None:
    """The refusal is the problem that the contract knows, under the caller's request id; it reaches nothing behind."""
    async with _edge(calls_max=2) as edge:
        waiting = [await edge.client() for _ in range(2)]
        for client in waiting:
            await client.ask("/wait")
        await edge.begins(2)
        other = await edge.client()
        await other.ask("/wait", 'X-Request-ID: a "quoted" id')
        status, headers, body = await other.answer()
        problem = json.loads(body)
        assert (status, problem["code"], problem["status"]) == (503, "overloaded", 503)
        assert problem["request_id"] == headers["x-request-id"] == 'a "quoted" id'
        assert (headers["retry-after"], headers["content-type"]) == ("1", "application/problem+json")
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")
        for path in ("/healthz", "/readyz", "/metrics"):
            await other.ask(path)
            assert (await other.answer())[0] == 200
        assert edge.begun.count("/wait") == 2
        edge.go_on.set()
        for client in waiting:
            assert (await client.answer())[0] == 200
        await other.ask("/wait")
        assert (await other.answer())[0] == 200


async def test_reads_are_let_in_while_all_who_may_wait_for_a_worker_do() -> None:
    """A worker that is away is seen in the reads; they, and logins, must not be refused because of it."""
    async with _edge(calls_max=1) as edge:
        waiting, other = await edge.client(), await edge.client()
        await waiting.ask("/wait", method="POST", body=b"{}")
        await edge.begins(1)
        for method, path, status in (("POST", "/", 503), ("GET", "/", 200), ("POST", "/api/v1/auth/login", 200)):
            await other.ask(path, method=method)
            assert (await other.answer())[0] == status


async def test_a_refused_call_leaves_its_connection_to_the_next_one_whatever_it_sent() -> None:
    async with _edge(calls_max=1) as edge:
        first, other = await edge.client(), await edge.client()
        await first.ask("/wait", method="PUT")
        await edge.begins(1)
        await other.ask("/body", method="POST", body=b"x" * 300_000)
        assert (await other.answer())[0] == 503
        await first.ask("/")
        edge.go_on.set()
        for _ in range(2):
            assert (await first.answer())[0] == 200
        edge.go_on.clear()
        await first.ask("/wait")
        await edge.begins(3)
        await other.ask("/", method="HEAD")
        status, headers, _ = await other.answer(has_body=False)
        assert (status, int(headers["content-length"]) > 0) == (503, True)
        await other.ask("/", "Connection: close")
        assert (await other.answer())[1]["connection"] == "close"
        assert await other.rest() == b""


async def test_calls_that_stand_behind_each_other_are_answered_in_their_order() -> None:
    async with _edge(calls_max=1) as edge:
        client = await edge.client()
        await client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
        await edge.begins(1)
        edge.go_on.set()
        assert [(await client.answer())[0] for _ in range(4)] == [200] * 4
        assert edge.begun == ["/wait", "/", "/", "/"]


async def test_a_client_that_gives_up_makes_room() -> None:
    async with _edge(calls_max=1) as edge:
        first = await edge.client()
        await first.ask("/body", "Content-Length: 10", method="POST")
        await first.send(b"123")
        first.close()
        other = await edge.client()
        await other.ask("/")
        assert (await other.answer())[0] == 200


async def test_who_sends_slowly_or_reads_slowly_takes_nobodys_place() -> None:
    """With room for one call: two that never finish their bodies and one that never takes its answer."""
    async with _edge(calls_max=1) as edge:
        for _ in range(2):
            slow = await edge.client()
            await slow.ask("/body", "Content-Length: 100000", method="POST")
            await slow.send(b"x" * 70_000)
        deaf = await edge.client()
        await deaf.ask("/large")
        await edge.begins(3)
        other = await edge.client()
        await other.ask("/")
        assert (await other.answer())[0] == 200


async def test_large_bodies_have_a_bound_together_and_small_ones_are_never_refused_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "BODY_BYTES_MAX", 250_000)
    async with _edge(calls_max=10) as edge:
        holder = await edge.client()
        await holder.ask("/body", "Content-Length: 300000", method="POST")
        await holder.send(b"x" * 200_000)
        await edge.begins(1)
        refused = await edge.client()
        await refused.ask("/body", method="POST", body=b"x" * 200_000)
        status, headers, body = await refused.answer()
        assert (status, json.loads(body)["code"], headers["connection"]) == (503, "overloaded", "close")
        small = await edge.client()
        await small.ask("/body", method="POST", body=b"x" * 60_000)
        assert (await small.answer())[0] == 200
        holder.close()

        async def has_room() -> bool:
            client = await edge.client()
            await client.ask("/body", method="POST", body=b"x" * 200_000)
            return (await client.answer())[0] == 200

        await eventually(has_room)


@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST /body HTTP/1.1\r\nContent-Length: 5\r\n\r\n12",
     b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
     b"POST /body HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n",
     b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n"],
)  # fmt: skip
async def test_what_never_becomes_a_request_is_cut_off(sent: bytes) -> None:
    async with _edge(bounds=_IMPATIENT) as edge:
        client = await edge.client()
        await client.send(sent)
        await client.rest()


async def test_a_head_that_drips_is_cut_off_though_it_goes_on() -> None:
    async with _edge(bounds=_IMPATIENT) as edge:
        client = await edge.client()
        await client.send(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    await client.send(b"X-Drip: y\r\n")
                    await asyncio.sleep(0.02)
        assert edge.begun == []


async def test_a_client_that_never_reads_is_cut_off() -> None:
    def cuts() -> float:
        return REGISTRY.get_sample_value("remit_http_cut_total", {"reason": "unread"}) or 0.0

    before = cuts()
    async with _edge(bounds=_IMPATIENT) as edge:
        client = await edge.client()
        # The reader stops at its limit, and so the kernel's buffers fill.
        await client.ask("/large")

        async def is_cut() -> bool:
            return cuts() > before

        await eventually(is_cut)
        assert len(await client.rest()) < _LARGE


@pytest.mark.parametrize(
    "endless", [b"X-Header: y\r\n", b"x" * 1000], ids=["one header after another", "one header without an end"]
)
async def test_a_head_without_an_end_is_cut_off_by_its_size(endless: bytes) -> None:
    async with _edge() as edge:
        client = await edge.client()
        await client.send(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(10):
                while True:
                    await client.send(endless * 100)


async def test_a_trailer_is_no_header() -> None:
    """What comes after the body was not there when the head was looked at."""
    async with _edge() as edge:
        client = await edge.client()
        await client.send(
            b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nX-Late: y\r\n\r\n"
        )
        assert (await client.answer())[0] == 200
        assert set(edge.seen[0]) == {b"host", b"transfer-encoding"}


async def test_a_connection_for_which_there_is_no_room_is_told_so() -> None:
    async with _edge(bounds=replace(_BOUNDS, connections_max=3)) as edge:
        held = [await edge.client() for _ in range(3)]
        for client in held:
            await client.ask("/")
            assert (await client.answer())[0] == 200
        turned_away = await edge.client()
        status, headers, body = await turned_away.answer()
        assert (status, json.loads(body)["code"], headers["connection"]) == (503, "overloaded", "close")
        held[0].close()

        async def is_let_in() -> bool:
            client = await edge.client()
            await client.ask("/")
            return (await client.answer())[0] == 200

        await eventually(is_let_in)


async def test_a_connection_cannot_pile_up_requests() -> None:
    async with _edge() as edge:
        client = await edge.client()
        await client.send(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert await client.rest() == b""


@pytest.mark.parametrize(("soft", "wanted", "possible"), [(20_000, 5_000, 5_000), (1_024, 5_000, 768), (100, 5_000, 1)])
def test_connections_leave_descriptors_for_the_servers(
    monkeypatch: pytest.MonkeyPatch, soft: int, wanted: int, possible: int
) -> None:
    monkeypatch.setattr("shared.http.resource.getrlimit", lambda _: (soft, soft))
    monkeypatch.setattr("shared.http.resource.setrlimit", lambda *_: None)
    assert connections_possible(wanted) == possible


async def test_a_connection_made_just_before_the_end_is_still_heard() -> None:
    """Its request is on the way; a proxy whose first request on a connection meets no answer cannot say what it did."""
    async with _edge() as edge:
        fresh, silent = await edge.client(), await edge.client()
        # The server has taken both in: it answers what came after them.
        await (known := await edge.client()).ask("/")
        assert (await known.answer())[0] == 200
        edge.stop.set()
        assert await known.rest() == b""
        await fresh.ask("/")
        status, headers, _ = await fresh.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await fresh.rest() == b""
        assert await silent.rest() == b""


async def test_a_leaving_server_lets_in_who_does_not_know_yet_and_sends_them_on() -> None:
    """Until a proxy has noticed, calls come as ever; each answer ends its connection."""
    async with _edge(leave_s=5) as edge:
        await (known := await edge.client()).ask("/")
        assert "connection" not in (await known.answer())[1]
        edge.stop.set()

        async def is_told() -> bool:
            await known.ask("/")
            return (await known.answer())[1].get("connection") == "close"

        await eventually(is_told)
        assert await known.rest() == b""
        for _ in range(3):
            await (late := await edge.client()).ask("/")
            status, headers, _ = await late.answer()
            assert (status, headers["connection"]) == (200, "close")
