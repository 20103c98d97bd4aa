"""Load on one address: `python -m remit.bench.load` reads a `Plan` from standard input and answers with `Measured`.

Closed loop: each connection asks again as soon as it is answered; that finds the capacity. Open loop: requests are due
at fixed times whatever becomes of those before, and what a request waits for a free connection counts: a server that
stalls is not asked less, and cannot hide it (coordinated omission).
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import ceil
from urllib.parse import urlsplit
from uuid import uuid4

import msgspec
import uvloop

from remit.bench.quantiles import quantile
from remit.bench.wire import Connection

# After the last request was due, what is still open is given so long to end.
_END_TIMEOUT_S = 15.0
_TICK_S = 0.001
_END_TICK_S = 0.01
# The shares at which the distribution of good answers is told: each percent, and the far end more closely.
SHARES = (*(percent / 100 for percent in range(1, 100)), 0.995, 0.999, 1.0)


class Template(msgspec.Struct, frozen=True):
    """One request under `/api/v1` that is sent again and again, each time under a fresh idempotency key."""

    path: str
    token: str
    body: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. Without a rate the loop is closed; a rate is requests a second over all connections."""

    url: str
    templates: Sequence[Template]
    connections: int
    duration_s: float
    rate: float | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one status, and how long after they were due they came, in milliseconds."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a plan. `sent` and `by_status` count requests; status 0 is a connection that broke, or no answer.

    `per_second` is the number of 201 and 200 in each second of the plan, `good_ms` their latency at each of `SHARES`,
    `cpu_s` and `cpu_share` what this process took, in all and of one core, `late_p99_ms` how late it sent what was due
    while a connection was free.
    """

    sent: int
    by_status: Mapping[int, Summary]
    per_second: Sequence[int]
    good_ms: Sequence[float]
    duration_s: float
    cpu_s: float
    cpu_share: float
    late_p99_ms: float

    @property
    def good_per_s(self) -> float:
        """Requests that were due in the plan's time and succeeded, a second."""
        good = sum(found.count for status, found in self.by_status.items() if status in {200, 201})
        return good / self.duration_s


class _Load:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = _requests(plan)
        self._due: deque[float] = deque()
        # In turn, so that none is idle for so long that the server closes it.
        self._free: deque[Connection] = deque()
        self._sent_for: dict[Connection, float] = {}
        self._seen: list[tuple[int, float, float]] = []
        self._late_s: list[float] = []
        self._began = 0.0
        self._is_closed_loop = plan.rate is None
        self._is_over = False
        self._connecting: set[asyncio.Task[None]] = set()

    async def run(self) -> Measured:
        await asyncio.gather(*(self._connect() for _ in range(self._plan.connections)))
        cpu_began, self._began = time.process_time(), time.perf_counter()
        await (self._closed_loop() if self._plan.rate is None else self._open_loop(self._plan.rate))
        self._is_over = True
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_TIMEOUT_S):
                await self._has_ended()
        cpu_s, took_s = time.process_time() - cpu_began, time.perf_counter() - self._began
        for connection in [*self._free, *self._sent_for]:
            connection.close()
        # The connections that were closed are told of now; what never got one is as unanswered as they are.
        await asyncio.sleep(0)
        self._seen += [(0, due, time.perf_counter()) for due in self._due]
        return self._measured(cpu_s, took_s)

    async def _closed_loop(self) -> None:
        for connection in list(self._free):
            self._send(connection, time.perf_counter())
        self._free.clear()
        await asyncio.sleep(self._plan.duration_s)

    async def _has_ended(self) -> None:
        # Looked at now and then: an event a request would cost more than all the looking.
        while self._sent_for or self._due:  # noqa: ASYNC110
            await asyncio.sleep(_END_TICK_S)

    async def _open_loop(self, rate: float) -> None:
        count = int(rate * self._plan.duration_s)
        made = 0
        while made < count:
            now = time.perf_counter()
            wanted = min(count, int((now - self._began) * rate) + 1)
            for number in range(made, wanted):
                self._begin(self._began + number / rate, now)
            made = wanted
            await asyncio.sleep(_TICK_S)

    def _begin(self, due: float, now: float) -> None:
        while self._free:
            connection = self._free.popleft()
            if connection.is_usable:
                self._late_s.append(now - due)
                self._send(connection, due)
                return
            connection.close()
            self._connect_again()
        self._due.append(due)

    def _send(self, connection: Connection, due: float) -> None:
        self._sent_for[connection] = due
        connection.send(next(self._requests))

    def _answered(self, connection: Connection, status: int) -> None:
        now = time.perf_counter()
        self._seen.append((status, self._sent_for.pop(connection), now))
        if not connection.is_usable:
            self._connect_again()
        elif self._due:
            self._send(connection, self._due.popleft())
        elif self._is_closed_loop and not self._is_over:
            self._send(connection, now)
        else:
            self._free.append(connection)

    def _connect_again(self) -> None:
        if not self._is_over:
            task = asyncio.create_task(self._connect(), name="connect")
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        address, loop = urlsplit(self._plan.url), asyncio.get_running_loop()
        host, port = address.hostname or "", address.port or 80
        try:
            _, connection = await loop.create_connection(lambda: Connection(self._answered), host, port)
        except OSError:
            return
        if self._due:
            self._send(connection, self._due.popleft())
        elif self._is_closed_loop and self._began and not self._is_over:
            self._send(connection, time.perf_counter())
        else:
            self._free.append(connection)

    def _measured(self, cpu_s: float, took_s: float) -> Measured:
        took: dict[int, list[float]] = {}
        per_second = [0] * ceil(self._plan.duration_s)
        for status, due, ended in self._seen:
            took.setdefault(status, []).append((ended - due) * 1000)
            second = int(ended - self._began)
            if status in {200, 201} and second < len(per_second):
                per_second[second] += 1
        late_ms = sorted(late * 1000 for late in self._late_s)
        good_ms = sorted(took.get(200, []) + took.get(201, []))
        return Measured(
            sent=len(self._seen),
            by_status={status: _summary(sorted(found)) for status, found in sorted(took.items())},
            per_second=per_second,
            good_ms=[quantile(good_ms, share) for share in SHARES] if good_ms else [],
            duration_s=self._plan.duration_s,
            cpu_s=cpu_s,
            cpu_share=cpu_s / took_s,
            late_p99_ms=quantile(late_ms, 0.99),
        )


def _requests(plan: Plan) -> Iterator[bytes]:
    prefix = uuid4().hex[:16]
    parts = [_around_key(template, plan.url) for template in plan.templates]
    for number in itertools.count():
        before, after = parts[number % len(parts)]
        yield b"%s%s-%d%s" % (before, prefix.encode(), number, after)


def _around_key(template: Template, url: str) -> tuple[bytes, bytes]:
    body = template.body.encode()
    before = (
        f"POST /api/v1{template.path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\n"
        f"Authorization: Bearer {template.token}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nIdempotency-Key: "
    )
    return before.encode(), b"\r\n\r\n" + body


def _summary(ms: Sequence[float]) -> Summary:
    p50, p95, p99 = (quantile(ms, share) for share in (0.5, 0.95, 0.99))
    return Summary(count=len(ms), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=ms[-1])


def main() -> None:
    """One plan from standard input."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    # Nothing here is cyclic, and a collection in the middle would show as a latency of the server.
    gc.disable()
    measured = uvloop.run(_Load(plan).run())
    sys.stdout.buffer.write(msgspec.json.encode(measured))


if __name__ == "__main__":
    main()
