"""Clients that hold on, drip, never read, or send without an end: beside each of them another is served as ever."""

from __future__ import annotations

import re
import resource
import selectors
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from deploy.local.stack import Stack
from tests.support.bank import Bank, Session
from tests.support.metrics import scrape
from tests.support.sockets import connect, connected, read_to_end, statuses
from tests.support.waiting import until
from tests.support.whole import bank_of

_GATEWAY = 7
_SETTINGS = {
    "REMIT_GATEWAY_HEAD_TIMEOUT_S": "3",
    "REMIT_GATEWAY_BODY_TIMEOUT_S": "3",
    "REMIT_GATEWAY_READ_TIMEOUT_S": "1",
}
_IDLE = 10_000
_SLOW = 100
_MIB = 1024 * 1024
# A payment and five reads, on a machine that does other things as well. Undisturbed they take a fiftieth; where they
# take longer before anything is done to the gateway, the machine is slow, and they may take as many times that.
_CALLS_S_MAX = 2.0
_TIMES_UNDISTURBED_MAX = 20
# Of so many rounds the median counts: what lasts shows in it, and a pause of the machine does not.
_ROUNDS = 5


@pytest.fixture(scope="module")
def gateway(stack: Stack) -> Iterator[Bank]:
    """One whose patience is short."""
    stack.start_service("gateway", _GATEWAY, _SETTINGS)
    bank = bank_of(stack, _GATEWAY)
    yield bank
    bank.close()
    stack.stop_service("gateway", n=_GATEWAY)


class _Neighbour:
    """Somebody who uses the same gateway and should notice nothing."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._person: Session = bank.customer("Neighbour")
        self._accounts = bank.funded(self._person), self._person.open_account()
        self._calls_s_max = max(_CALLS_S_MAX, _TIMES_UNDISTURBED_MAX * self._median_s())

    def _median_s(self) -> float:
        return statistics.median(self._calls_s() for _ in range(_ROUNDS))

    def _calls_s(self) -> float:
        begun = time.monotonic()
        assert self._person.transfer(*self._accounts, "0.01").status_code == 201
        for _ in range(5):
            self._person.balance(self._accounts[0])
        return time.monotonic() - begun

    def is_served(self) -> None:
        """Reads and pays, in time; also on a connection of his own making."""
        # A first round in time will do; only where it is late are the others asked.
        assert self._calls_s() < self._calls_s_max or self._median_s() < self._calls_s_max
        with connected(str(self._bank.client.base_url)) as fresh:
            fresh.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert statuses(read_to_end(fresh)) == [200]


@pytest.fixture(scope="module")
def neighbour(gateway: Bank) -> _Neighbour:
    return _Neighbour(gateway)


@pytest.fixture
def url(gateway: Bank) -> str:
    return str(gateway.client.base_url)


def _memory_mib(gateway: Bank) -> float:
    found = re.search(r"^process_resident_memory_bytes (\S+)$", gateway.client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1]) / _MIB


def _room_for(wanted: int) -> int:
    """How many connections this process may hold, at most `wanted`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return min(wanted, hard - 1_000)


def _all_cut(connections: list[socket.socket], *, within_s: float) -> None:
    """Each of them ends; what was answered before is read and forgotten."""
    deadline = time.monotonic() + within_s
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        while selector.get_map():
            assert time.monotonic() < deadline, f"{len(selector.get_map())} of {len(connections)} live on"
            for key, _ in selector.select(timeout=0.1):
                try:
                    has_ended = not key.fileobj.recv(_MIB)  # type: ignore[union-attr]
                except ConnectionResetError:
                    has_ended = True
                if has_ended:
                    selector.unregister(key.fileobj)


def test_ten_thousand_who_say_nothing_and_hundreds_who_drip(gateway: Bank, url: str, neighbour: _Neighbour) -> None:
    """They cost some memory, until their time is up."""
    before_mib, count = _memory_mib(gateway), _room_for(_IDLE)
    heads = [
        b"GET /api/v1/auth/me HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
    ]
    with ExitStack() as stack:
        silent = [stack.enter_context(connect(url)) for _ in range(count)]
        slow = [stack.enter_context(connect(url)) for _ in range(2 * _SLOW)]
        for n, connection in enumerate(slow):
            connection.sendall(heads[n % 2])
        neighbour.is_served()
        assert _memory_mib(gateway) - before_mib < 200
        for connection in slow:
            connection.sendall(b"x")
        neighbour.is_served()
        _all_cut(silent + slow, within_s=15)
    neighbour.is_served()


def test_those_who_never_read(gateway: Bank, url: str, neighbour: _Neighbour) -> None:
    """Forty ask for a megabyte each, some ten times over, and take nothing of it."""
    before_mib, cut_before = _memory_mib(gateway), _cut(gateway)
    asked = b"GET /docs/static/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
    with ExitStack() as stack:
        deaf = [stack.enter_context(connect(url, receive_buffer_bytes=4_096)) for _ in range(40)]
        for n, connection in enumerate(deaf):
            connection.sendall(asked * (10 if n % 4 == 0 else 4))
        neighbour.is_served()
        # Not before: whoever reads is not cut off, and takes long for so much.
        until(lambda: _cut(gateway) - cut_before, lambda cut: cut >= len(deaf))
        neighbour.is_served()
        assert _memory_mib(gateway) - before_mib < 150
        _all_cut(deaf, within_s=15)


def _cut(gateway: Bank) -> float:
    """How many this gateway has cut off because they took nothing of what they were sent."""
    return scrape(str(gateway.client.base_url).rstrip("/")).sum("remit_http_cut_total", reason="unread")


@pytest.mark.parametrize("told", [True, False], ids=["told", "in chunks"])
def test_bodies_of_a_hundred_megabytes(gateway: Bank, url: str, neighbour: _Neighbour, told: bool) -> None:
    """Refused by what their head says, or once they are too large; never held."""
    before_mib = _memory_mib(gateway)
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 104857600\r\n\r\n" if told else b"Transfer-Encoding: chunked\r\n\r\n"
    part = b"x" * _MIB if told else b"100000\r\n" + b"x" * _MIB + b"\r\n"
    with ExitStack() as stack:
        senders = [stack.enter_context(connect(url)) for _ in range(10)]
        for sender in senders:
            sender.sendall(head)
        for sent_mib in range(100):
            for sender in senders:
                _send_on(sender, part)
            if sent_mib % 25 == 24:
                neighbour.is_served()
        assert _memory_mib(gateway) - before_mib < 60
        assert [statuses(sender.recv(65_536))[:1] for sender in senders] == [[413]] * len(senders)


def _send_on(sender: socket.socket, part: bytes) -> None:
    try:
        sender.sendall(part)
    except ConnectionError:
        # Cut off after its refusal, which is still there to be read.
        return


def test_requests_by_the_thousand_on_one_connection(gateway: Bank, url: str, neighbour: _Neighbour) -> None:
    before_mib = _memory_mib(gateway)
    with ExitStack() as stack:
        eager = [stack.enter_context(connect(url)) for _ in range(50)]
        for connection in eager:
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 5_000)
        neighbour.is_served()
        _all_cut(eager, within_s=20)
    assert _memory_mib(gateway) - before_mib < 100
