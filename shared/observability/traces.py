"""Traces: where the time of one call went, through all services. Off unless an endpoint is set.

Whether a call is traced is decided once, when it comes in: as its `traceparent` says (W3C Trace Context), else by lot.
Every message that it leads to bears the call's own `traceparent` (`Context.traceparent`), and so does every row from
which a message is made again; what is not traced bears nothing. Each service adds spans below that of the call,
whenever and however often the message comes (decision 0027).

While it is off nothing of OpenTelemetry is imported, and a place that would record costs a call of a function.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from uuid import UUID

import structlog

from shared.contracts.base import Context, Message
from shared.settings import TraceSettings

log = structlog.get_logger(__name__)

Headers = Iterable[tuple[bytes, bytes]]

# Version 00 is these four fields and no more; a later one may go on after another dash, and never is ff.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01
_NOTHING = nullcontext()


class Call(Protocol):
    """A traced HTTP call, open until `end`."""

    @property
    def traceparent(self) -> str:
        """What its messages bear."""

    def answers(self, status: int, headers: Headers) -> None:
        """Its answer has begun."""

    def end(self, method: str, route: str) -> None:
        """It is over, answered or not."""


class Recorder(Protocol):
    """What records spans while tracing is on."""

    def call(self, headers: Headers, request_id: str) -> Call | None:
        """See `begin`."""

    def part(self, name: str, context: Context, transfer_id: UUID | None) -> AbstractContextManager[None]:
        """See `part`."""

    def batch(
        self, operation: str, place: str, items: Sequence[Message], *, is_sent: bool, redelivered: Collection[int]
    ) -> AbstractContextManager[None]:
        """See `batch`."""

    def close(self) -> None:
        """Sends what is left, within a bound."""


class _Here:
    """This process's recorder; none while tracing is off."""

    __slots__ = ("recorder",)

    def __init__(self) -> None:
        self.recorder: Recorder | None = None


_here = _Here()


@contextmanager
def tracing(service: str, settings: TraceSettings) -> Iterator[None]:
    """Records while the block runs, if these settings name an endpoint; at its end what is left is sent."""
    if settings.endpoint is None:
        yield
        return
    # Some MiB, and a moment of the start, which only those pay who trace.
    from shared.observability.spans import open_recorder  # noqa: PLC0415

    log.info("tracing", endpoint=settings.endpoint, sample=settings.sample)
    recorder = _here.recorder = open_recorder(service, settings.endpoint, settings.sample)
    try:
        yield
    finally:
        _here.recorder = None
        recorder.close()


def is_on() -> bool:
    """Whether anything is recorded here."""
    return _here.recorder is not None


def begin(headers: Headers, request_id: str) -> Call | None:
    """A call that has come in with these headers; None where it is not traced."""
    recorder = _here.recorder
    return None if recorder is None else recorder.call(headers, request_id)


def part(name: str, context: Context, transfer_id: UUID | None = None) -> AbstractContextManager[None]:
    """A part of the call with this context: as long as the block runs."""
    recorder = _here.recorder
    return _NOTHING if recorder is None or not context.traceparent else recorder.part(name, context, transfer_id)


def batch(
    operation: str, place: str, items: Sequence[Message], *, is_sent: bool = False, redelivered: Collection[int] = ()
) -> AbstractContextManager[None]:
    """One `operation` on all of `items`, taken from the queue `place` or sent to that exchange.

    Each traced item gets a span in its own call's trace, linked to the span of the batch. `redelivered` holds the
    `id()` of those that came before.
    """
    recorder = _here.recorder
    if recorder is None:
        return _NOTHING
    return recorder.batch(operation, place, items, is_sent=is_sent, redelivered=redelivered)


def sampled_parent(traceparent: str) -> tuple[int, int] | None:
    """Trace id and span id of a caller who is traced; None for one who is not."""
    found = read(traceparent)
    return found[:2] if found is not None and found[2] & _SAMPLED else None


def read(traceparent: str) -> tuple[int, int, int] | None:
    """Trace id, span id and flags; None for what is no `traceparent`."""
    match = _TRACEPARENT.fullmatch(traceparent)
    if match is None or (match[1] == "00" and match[5] is not None):
        return None
    return int(match[2], 16), int(match[3], 16), int(match[4], 16)
