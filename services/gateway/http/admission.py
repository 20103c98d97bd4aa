"""Who is let in: a bound on the calls under way, so that what is taken is done in time and the rest is told at once.

A call is under way from the end of its request to the beginning of its answer. Neither a client that sends slowly nor
one that reads slowly counts: it costs a connection, which has bounds and deadlines of its own (`shared.http`).
"""

from __future__ import annotations

from enum import IntEnum
from http import HTTPStatus

from prometheus_client import Counter, Gauge

from services.gateway.domain import bodies
from services.gateway.errors import Overloaded, Problem
from services.gateway.http.responses import PROBLEM_JSON

UNDER_WAY = Gauge("remit_calls_under_way", "Calls that are read and not yet answered.")
REFUSED = Counter("remit_overload_refusals_total", "Refused before anything was begun, by what was full.", ["full"])

# Bodies up to this size are never refused for want of memory: the bounds on calls and connections hold for them.
SMALL_BODY_BYTES = 64 * 1024
# Of all larger bodies together: eight of the largest that any call takes, or some hundred batches of a thousand.
BODY_BYTES_MAX = 64 * 1024 * 1024

_PLACE = "request-id-stands-here"
# Health is answered always: what asks for it decides whether this process goes on.
_ALWAYS_SERVED = frozenset({b"/healthz", b"/readyz", b"/metrics"})


class Lane(IntEnum):
    """What calls wait for. One lane that is full does not stop the other."""

    # Answered from here: reads, and whatever is done about identity.
    READS = 0
    # Waits for a worker behind the broker.
    COMMANDS = 1


def lane_of(method: str, path: bytes) -> Lane:
    """The lane of a call."""
    is_read = method in {"GET", "HEAD", "OPTIONS"} or path.startswith(b"/api/v1/auth/")
    return Lane.READS if is_read else Lane.COMMANDS


class Admission:
    """What this process has in hand: at most `calls_max` calls in each lane."""

    def __init__(self, *, calls_max: int) -> None:
        self._calls_max = calls_max
        self._calls = dict.fromkeys(Lane, 0)
        self._body_bytes = 0
        UNDER_WAY.set_function(lambda: sum(self._calls.values()))

    def admits(self, lane: Lane, path: bytes) -> bool:
        """Whether a call for this address may begin now."""
        return self._calls[lane] < self._calls_max or path in _ALWAYS_SERVED

    @property
    def has_room_for_bodies(self) -> bool:
        return self._body_bytes <= BODY_BYTES_MAX

    def count(self, lane: Lane, calls: int, body_bytes: int) -> None:
        """More in hand, or less."""
        self._calls[lane] += calls
        self._body_bytes += body_bytes


class Ticket:
    """One call's part of what is in hand; given back once."""

    __slots__ = ("_admission", "_body_bytes", "_has_left", "_is_under_way", "_lane")

    def __init__(self, admission: Admission, lane: Lane) -> None:
        self._admission = admission
        self._lane = lane
        self._body_bytes = 0
        self._is_under_way = False
        self._has_left = False

    def read(self, body_bytes: int) -> bool:
        """More of its body has come; whether there is room for that."""
        if self._has_left:
            return True
        self._body_bytes += body_bytes
        if self._body_bytes <= SMALL_BODY_BYTES:
            return True
        # The first time, all of it.
        is_first = self._body_bytes - body_bytes <= SMALL_BODY_BYTES
        self._admission.count(self._lane, 0, self._body_bytes if is_first else body_bytes)
        return self._admission.has_room_for_bodies

    def begin(self) -> None:
        """Its request is whole."""
        if not (self._is_under_way or self._has_left):
            self._is_under_way = True
            self._admission.count(self._lane, 1, 0)

    def leave(self) -> None:
        """Its answer begins, or nobody waits for it."""
        if not self._has_left:
            self._has_left = True
            large = self._body_bytes if self._body_bytes > SMALL_BODY_BYTES else 0
            self._admission.count(self._lane, -1 if self._is_under_way else 0, -large)


class PlainAnswer:
    """A problem as bytes for the wire, made once; only the request's id differs."""

    def __init__(self, problem: Problem, *, closes: bool = False) -> None:
        before, _, after = bodies.encode(bodies.problem(problem, _PLACE)).partition(f'"{_PLACE}"'.encode())
        self._before, self._after = before, after
        status = HTTPStatus(problem.status)
        lines = [f"HTTP/1.1 {status.value} {status.phrase}", f"content-type: {PROBLEM_JSON}", "cache-control: no-store"]
        lines += ["x-content-type-options: nosniff", *(f"{n.lower()}: {v}" for n, v in problem.headers.items())]
        lines += ["connection: close"] if closes else []
        self._head = ("\r\n".join(lines) + "\r\n").encode("ascii")

    def bytes_for(self, request_id: str, *, has_body: bool = True) -> bytes:
        """The whole answer; to HEAD without the body."""
        body = b"".join((self._before, bodies.encode(request_id), self._after))
        head = f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n".encode("ascii")
        return b"".join((self._head, head, body if has_body else b""))


OVERLOADED = PlainAnswer(Overloaded())
OVERLOADED_AND_CLOSED = PlainAnswer(Overloaded(), closes=True)
