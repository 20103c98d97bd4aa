"""Spans as OpenTelemetry's SDK makes and exports them. Imported by `traces` alone, and only where tracing is on.

No provider is made the process's global one: frameworks that look for it record nothing of their own.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from uuid import UUID

import structlog
from opentelemetry.context import Context as Parent
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from shared.contracts.base import Context, Message
from shared.contracts.naming import context_of, named
from shared.observability.metrics import SPANS_DROPPED, SPANS_EXPORTED
from shared.observability.traces import Call, Headers, Recorder, read, sampled_parent
from shared.settings import drawn_instance

log = structlog.get_logger(__name__)

# Some 3 KiB each: what waits for a collector that is away stays below ten MiB.
_WAITING_MAX = 2_048
_TOGETHER_MAX = 256
# An export costs a millisecond beside its spans.
_EXPORT_EVERY_MS = 2_000
_EXPORT_TIMEOUT_S = 5
_CLOSE_TIMEOUT_S = 3.0
# A batch call has one trace for a thousand items. These many of them in a batch get a span of their own.
_ALIKE_MAX = 50

_SYSTEM: Mapping[str, str] = {"messaging.system": "rabbitmq"}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
# No parent: whatever the SDK keeps in context variables is not asked.
_ROOT = Parent()
_TRACEPARENT_NAME = b"traceparent"
_REPLAYED_NAME = b"idempotent-replayed"


def open_recorder(service: str, endpoint: str, sample: float) -> Recorder:
    """Records for `service`, and sends to `endpoint`; `sample` of the calls that nobody has decided on, 0 to 1."""
    # Said by the exporter below, once, and counted.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    for reason in ("batch", "export", "queue"):
        # From zero, so that a rate sees the first one.
        SPANS_DROPPED.labels(reason)
    exporter = _Exporter(OTLPSpanExporter(endpoint=endpoint, timeout=_EXPORT_TIMEOUT_S), service)
    return SpanRecorder(_Waiting(exporter), service, sample)


class _Exporter(SpanExporter):
    """Counts what is exported and what is not, and says once that it fails and once that it is well again."""

    def __init__(self, exporter: SpanExporter, service: str) -> None:
        self._exporter = exporter
        self._log = log.bind(service=service)
        self._is_failing = False
        self.taken = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends them, in the exporting thread; those that the collector does not take are lost."""
        self.taken += len(spans)
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            SPANS_EXPORTED.inc(len(spans))
            if self._is_failing:
                self._log.info("spans_exported_again")
        else:
            SPANS_DROPPED.labels("export").inc(len(spans))
            if not self._is_failing:
                self._log.warning("spans_not_exported", spans=len(spans))
        self._is_failing = result is not SpanExportResult.SUCCESS
        return result

    def shutdown(self) -> None:
        """Nothing more is sent."""
        self._exporter.shutdown()


class _Waiting(SpanProcessor):
    """Ended spans, at most `_WAITING_MAX`, until a thread exports them; the library's own queue drops uncounted.

    `given` is written by the loop alone, `taken` by the exporting thread alone: their difference needs no lock.
    """

    def __init__(self, exporter: _Exporter) -> None:
        self._exporter = exporter
        self._given = 0
        self._inner = BatchSpanProcessor(
            exporter,
            max_queue_size=_WAITING_MAX,
            schedule_delay_millis=_EXPORT_EVERY_MS,
            max_export_batch_size=_TOGETHER_MAX,
        )

    @property
    def waiting(self) -> int:
        """How many are not handed to the exporter yet."""
        return self._given - self._exporter.taken

    def on_end(self, span: ReadableSpan) -> None:
        """Takes it, or counts it as dropped."""
        if self.waiting >= _WAITING_MAX:
            SPANS_DROPPED.labels("queue").inc()
            return
        self._given += 1
        self._inner.on_end(span)

    def shutdown(self) -> None:
        """Exports what waits; a collector that does not answer is not waited for."""
        closing = threading.Thread(target=self._inner.shutdown, name="spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)
        if closing.is_alive():
            log.warning("spans_left_behind", spans=self.waiting)


class SpanRecorder:
    """Makes spans: a call's own, the parts of it, and those of a batch's items."""

    def __init__(self, processor: SpanProcessor, service: str, sample: float) -> None:
        attributes = {
            "service.name": f"remit-{service}",
            "service.namespace": "remit",
            "service.instance.id": drawn_instance(),
        }
        self._provider = TracerProvider(sampler=ALWAYS_ON, resource=Resource.create(attributes), shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("remit")
        self._sample = sample

    def call(self, headers: Headers, request_id: str) -> Call | None:
        """A call, if its caller is traced or, where the caller says nothing readable, the lot falls on it."""
        given = [value for name, value in headers if name == _TRACEPARENT_NAME]
        said = given[0].decode("latin-1") if len(given) == 1 else ""
        parent = self._drawn() if read(said) is None else _parent(said)
        return None if parent is None else _Call(self._tracer, parent, request_id)

    def _drawn(self) -> Parent | None:
        return _ROOT if random.random() < self._sample else None  # noqa: S311 - sight, no secret

    @contextmanager
    def part(self, name: str, context: Context, transfer_id: UUID | None) -> Iterator[None]:
        """A span below the call's."""
        parent = _parent(context.traceparent)
        if parent is None:
            yield
            return
        attributes = {} if transfer_id is None else {"remit.transfer_id": str(transfer_id)}
        span = self._tracer.start_span(name, parent, SpanKind.INTERNAL, attributes, record_exception=False)
        try:
            yield
        except BaseException as error:
            _failed(span, error)
            raise
        finally:
            span.end()

    @contextmanager
    def batch(
        self, operation: str, place: str, items: Sequence[Message], *, is_sent: bool, redelivered: Collection[int]
    ) -> Iterator[None]:
        """A span of the batch, a trace of its own, if any item is traced; then one for each that is."""
        traced = _by_call(items)
        if not traced:
            yield
            return
        batch = _Batch(self._tracer, operation, place, len(items), is_sent=is_sent)
        try:
            yield
        except BaseException as error:
            batch.error = error
            raise
        finally:
            batch.end(traced, redelivered)

    def close(self) -> None:
        """Sends what is left, within `_CLOSE_TIMEOUT_S`."""
        self._provider.shutdown()


class _Call:
    """The span of an HTTP call."""

    def __init__(self, tracer: Tracer, parent: Parent, request_id: str) -> None:
        self._span = tracer.start_span("call", parent, SpanKind.SERVER, {"remit.request_id": request_id})
        context = self._span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"

    def answers(self, status: int, headers: Headers) -> None:
        """The status, and whether it is an answer that was given before."""
        self._span.set_attribute("http.response.status_code", status)
        if any(name == _REPLAYED_NAME for name, _ in headers):
            self._span.set_attribute("remit.replayed", True)
        if status >= 500:
            self._span.set_status(StatusCode.ERROR)

    def end(self, method: str, route: str) -> None:
        """The route is known only now."""
        self._span.update_name(f"{method} {route}")
        self._span.set_attributes({"http.request.method": method, "http.route": route})
        self._span.end()


class _Batch:
    """The span of a batch, and those of its items, which begin and end with it."""

    def __init__(self, tracer: Tracer, operation: str, place: str, count: int, *, is_sent: bool) -> None:
        self._tracer = tracer
        self._name = f"{operation} {place}"
        self._kind = SpanKind.PRODUCER if is_sent else SpanKind.CONSUMER
        self._attributes: dict[str, str | int | bool] = {
            **_SYSTEM,
            "messaging.operation.type": "send" if is_sent else "process",
            "messaging.operation.name": operation,
            "messaging.destination.name": place,
            "messaging.batch.message_count": count,
        }
        self._begun_ns = time.time_ns()
        self._span = self._start(_ROOT, ())
        self.error: BaseException | None = None

    def end(self, traced: Sequence[tuple[Parent, Sequence[Message]]], redelivered: Collection[int]) -> None:
        """All of it happened between the beginning and now."""
        ended_ns = time.time_ns()
        links, left_out = (Link(self._span.get_span_context()),), 0
        for parent, items in traced:
            left_out += len(items[_ALIKE_MAX:])
            for item in items[:_ALIKE_MAX]:
                span = self._start(parent, links)
                span.set_attributes(
                    {f"remit.{name}": value for name, value in named(item).items() if name != "trace_id"}
                )
                if id(item) in redelivered:
                    span.set_attribute("remit.redelivered", True)
                self._finish(span, ended_ns)
        if left_out:
            self._span.set_attribute("remit.items_left_out", left_out)
            SPANS_DROPPED.labels("batch").inc(left_out)
        self._finish(self._span, ended_ns)

    def _start(self, parent: Parent, links: Sequence[Link]) -> Span:
        return self._tracer.start_span(
            self._name, parent, self._kind, self._attributes, links, start_time=self._begun_ns
        )

    def _finish(self, span: Span, ended_ns: int) -> None:
        if self.error is not None:
            _failed(span, self.error)
        span.end(ended_ns)


def _by_call(items: Sequence[Message]) -> list[tuple[Parent, list[Message]]]:
    """The traced items, by the call that they come from. What an older gateway let through may be no `traceparent`."""
    found: dict[str, list[Message]] = {}
    for item in items:
        context = context_of(item)
        if context is not None and context.traceparent:
            found.setdefault(context.traceparent, []).append(item)
    return [(parent, together) for said, together in found.items() if (parent := _parent(said)) is not None]


def _parent(traceparent: str) -> Parent | None:
    ids = sampled_parent(traceparent)
    if ids is None:
        return None
    return set_span_in_context(NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=_SAMPLED)), _ROOT)


def _failed(span: Span, error: BaseException) -> None:
    """Its class alone: a message may quote what was asked."""
    span.set_attribute("error.type", type(error).__name__)
    span.set_status(StatusCode.ERROR)
