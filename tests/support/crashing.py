"""Dying at a seam: inside a service, a SIGKILL of itself just before, during or just after one crossing.

A boundary is crossed by a primitive of a library: an exchange's publish, a message's ack, a transaction's COMMIT, a
script in Redis. Those are patched here, and nothing else. Which place of our code is crossing shows in the stack.
"""

# ruff: noqa: PLC0415 - what is patched is imported by the service that runs, not by the test that arms it
from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

SETTING = "REMIT_TEST_CRASH"

BEFORE, DURING, AFTER = "before", "during", "after"
MOMENTS = (BEFORE, DURING, AFTER)
# "during": the request is on its way, its answer is not read. What an ack wrote has left before "after".
_DURING_S = 0.001
_WRITTEN_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Point:
    """Where a service dies. `place` is `module:function`, somewhere in the stack. What is empty is any."""

    boundary: str
    place: str
    detail: str
    moment: str

    def __str__(self) -> str:
        place = self.place.rpartition(":")[2]
        return " ".join(filter(None, (self.moment, self.boundary, place, self.detail)))


class Trap:
    """The file by which a test arms a service, and the one that a service leaves behind when it dies."""

    def __init__(self, folder: Path, service: str) -> None:
        self._armed = folder / f"{service}.armed"
        self.marker = folder / f"{service}.died"

    def arm(self, point: Point) -> None:
        """The service dies when it comes there; once."""
        self.marker.unlink(missing_ok=True)
        draft = self._armed.with_suffix(".draft")
        draft.write_bytes(msgspec.json.encode(asdict(point)))
        draft.rename(self._armed)

    def disarm(self) -> None:
        """It lives on after all."""
        self._armed.unlink(missing_ok=True)

    def armed(self) -> Point | None:
        """Where it is to die, if anywhere."""
        try:
            return Point(**msgspec.json.decode(self._armed.read_bytes()))
        except FileNotFoundError:
            return None

    def spring(self) -> None:
        """Dies, as `kill -9` would have it."""
        self._armed.rename(self.marker)
        os.kill(os.getpid(), signal.SIGKILL)


def places() -> Iterator[str]:
    """Every `module:function` of the present stack, innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_qualname}"
        frame = frame.f_back  # type: ignore[assignment]  # None ends it


class _Crossings:
    def __init__(self, trap: Trap) -> None:
        self._trap = trap

    async def cross(self, boundary: str, detail: str, operation: Callable[[], Awaitable[Any]]) -> Any:
        """Carries out a crossing, and dies at its moment if it is the one."""
        point = self._trap.armed()
        if point is None or not self._is(point, boundary, detail):
            return await operation()
        if point.moment == BEFORE:
            self._trap.spring()
        if point.moment == DURING:
            asyncio.get_running_loop().call_later(_DURING_S, self._trap.spring)
        result = await operation()
        await asyncio.sleep(_WRITTEN_S)
        self._trap.spring()
        return result

    def _is(self, point: Point, boundary: str, detail: str) -> bool:
        if boundary != point.boundary or point.detail not in {"", detail}:
            return False
        return not point.place or point.place in places()


def install(service: str, folder: str) -> None:
    """Patches the primitives in this process."""
    crossings = _Crossings(Trap(Path(folder), service))
    _on_broker(crossings)
    _on_database(crossings)
    _on_streams(crossings)
    if service == "gateway":
        _on_scripts(crossings)


def _patch(owner: Any, name: str, boundary: str, detail: Callable[..., str], crossings: _Crossings) -> None:
    original = getattr(owner, name)

    async def patched(*arguments: Any, **named: Any) -> Any:
        return await crossings.cross(boundary, detail(*arguments), lambda: original(*arguments, **named))

    setattr(owner, name, patched)


def _on_broker(crossings: _Crossings) -> None:
    from aio_pika.exchange import Exchange
    from aio_pika.message import IncomingMessage

    from shared.contracts.envelope import open_header
    from shared.messaging.consumer import Consumer
    from shared.messaging.replies import ReplyQueue

    def type_of(_: Any, packet: Any, *__: Any) -> str:
        return open_header(packet.body).type

    def queue_of(*_: Any) -> str:
        # The message does not know where it was delivered from; the consumer that acknowledges it does.
        frame = sys._getframe()
        while frame.f_code is not Consumer._finish.__code__:
            frame = frame.f_back  # type: ignore[assignment]  # only a consumer acknowledges
        return str(frame.f_locals["self"].queue)

    _patch(Exchange, "publish", "publish", type_of, crossings)
    _patch(IncomingMessage, "ack", "ack", queue_of, crossings)
    _patch(ReplyQueue, "_take", "heard", lambda *_: "", crossings)


def _on_database(crossings: _Crossings) -> None:
    from asyncpg.transaction import Transaction

    from shared.database import Database

    end = Transaction.__aexit__

    async def ended(self: Any, kind: Any, error: Any, trace: Any) -> None:
        async def commit() -> None:
            await end(self, kind, error, trace)

        # A savepoint is no seam: nothing is seen of it outside.
        if kind is not None or self._nested:
            await commit()
        else:
            await crossings.cross("commit", "", commit)

    Transaction.__aexit__ = ended  # type: ignore[assignment, method-assign]
    for name in ("fetch", "fetchval"):
        _patch(Database, name, "statement", lambda *_: "", crossings)


def _on_streams(crossings: _Crossings) -> None:
    from redis.asyncio import Redis

    _patch(Redis, "xadd", "stream", lambda *_: "", crossings)


def _on_scripts(crossings: _Crossings) -> None:
    from services.gateway.idempotency.redis import Redis

    def script(_: Any, name: str, arguments: Any) -> str:
        # Its third argument says what becomes of the first record.
        return f"{name} {arguments[2]}" if name == "finish" else name

    _patch(Redis, "run", "script", script, crossings)
