"""Traces: what is recorded of calls and batches, and that nothing is where tracing is off."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.audit.domain import entry_of
from shared.audit_chain.canonical import DETAILS
from shared.contracts.base import Context, Message
from shared.contracts.envelope import encode_item
from shared.contracts.fraud import TransferScreened
from shared.contracts.naming import named
from shared.errors import SettingsError
from shared.observability import spans, traces
from shared.observability.metrics import SPANS_DROPPED
from shared.observability.spans import SpanRecorder
from shared.settings import TraceSettings, traces_from
from tests.support.builders import instruction, requested, screened, settled
from tests.support.settings import SETTINGS_OF

_ID = uuid4()
_TRACE, _SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
_SAMPLED, _UNSAMPLED = f"00-{_TRACE}-{_SPAN}-01", f"00-{_TRACE}-{_SPAN}-00"


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What this process records; callers who say nothing are not traced."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(traces._here, "recorder", _recording(exporter, sample=0.0))
    return exporter


def _recording(exporter: SpanExporter, *, sample: float) -> SpanRecorder:
    return SpanRecorder(SimpleSpanProcessor(exporter), "test", sample)


def _headers(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"traceparent", value.encode()) for value in values]


def _traced(traceparent: str = _SAMPLED) -> Context:
    return Context(request_id="r", traceparent=traceparent)


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        (_SAMPLED, 1),
        (_UNSAMPLED, 0),
        (f"00-{_TRACE}-{_SPAN}-03", 3),
        (f"01-{_TRACE}-{_SPAN}-01", 1),
        (f"cc-{_TRACE}-{_SPAN}-01-what-comes-later", 1),
    ],
)
def test_a_traceparent_is_read_as_far_as_it_is_known(said: str, flags: int) -> None:
    """W3C Trace Context, 3.2: a later version may go on after a dash."""
    assert traces.read(said) == (int(_TRACE, 16), int(_SPAN, 16), flags)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "00",
        f"00-{_TRACE}-{_SPAN}",
        f"00-{_TRACE}-{_SPAN}-1",
        f"00-{_TRACE}-{_SPAN}-01-more",
        f"00-{_TRACE}-{_SPAN}-01\n",
        f" 00-{_TRACE}-{_SPAN}-01",
        f"01-{_TRACE}-{_SPAN}-01.more",
        f"ff-{_TRACE}-{_SPAN}-01",
        f"00-{_TRACE.upper()}-{_SPAN}-01",
        f"00-{'0' * 32}-{_SPAN}-01",
        f"00-{_TRACE}-{'0' * 16}-01",
        f"00-{_TRACE}-{_SPAN}-\u0661\u0661",
    ],
)
def test_what_is_no_traceparent_is_none(said: str) -> None:
    assert traces.read(said) is None


def test_a_call_is_traced_as_its_caller_is(exported: InMemorySpanExporter) -> None:
    assert traces.begin(_headers(_UNSAMPLED), "r") is None
    call = traces.begin(_headers(_SAMPLED), "r")
    assert call is not None
    assert traces.read(call.traceparent) == (int(_TRACE, 16), _ended(call, exported).context.span_id, 1)
    (span,) = exported.get_finished_spans()
    assert span.parent is not None
    assert (span.parent.span_id, span.parent.is_remote) == (int(_SPAN, 16), True)


def _ended(call: traces.Call, exported: InMemorySpanExporter) -> Any:
    call.answers(201, [])
    call.end("POST", "/x")
    return exported.get_finished_spans()[-1]


@pytest.mark.parametrize("headers", [(), ("garbage",), (_SAMPLED, _SAMPLED)], ids=["none", "garbage", "two"])
@pytest.mark.parametrize(("sample", "is_traced"), [(0.0, False), (1.0, True)])
def test_who_says_nothing_readable_is_traced_by_lot(headers: Sequence[str], sample: float, is_traced: bool) -> None:
    exporter = InMemorySpanExporter()
    call = _recording(exporter, sample=sample).call(_headers(*headers), "r")
    assert (call is not None) == is_traced
    if call is not None:
        assert _ended(call, exporter).parent is None


def test_the_lot_falls_as_often_as_it_is_told() -> None:
    recorder = _recording(InMemorySpanExporter(), sample=0.25)
    drawn = sum(recorder.call((), "r") is not None for _ in range(4_000))
    assert 800 < drawn < 1_200


@pytest.mark.parametrize(("status", "is_error"), [(201, False), (422, False), (503, True)])
def test_a_call_that_failed_by_our_fault_is_an_error(
    exported: InMemorySpanExporter, status: int, is_error: bool
) -> None:
    call = traces.begin(_headers(_SAMPLED), "r")
    assert call is not None
    call.answers(status, [(b"idempotent-replayed", b"true")])
    call.end("POST", "/x")
    (span,) = exported.get_finished_spans()
    assert (span.name, not span.status.is_ok and is_error) == ("POST /x", is_error)
    assert span.attributes is not None
    assert span.attributes["remit.replayed"] is True


def test_each_traced_item_of_a_batch_has_a_span_linked_to_the_batch(exported: InMemorySpanExporter) -> None:
    """Below its own call; the batch is a trace of its own. What is not traced has none."""
    mine, again = requested(context=_traced()), requested(context=_traced())
    with traces.batch("screen", "fraud.requested", [mine, requested(), again], redelivered={id(again)}):
        pass
    *items, batch = exported.get_finished_spans()
    assert (batch.parent, batch.links) == (None, ())
    for span, item in zip(items, (mine, again), strict=True):
        assert span.parent is not None
        assert span.attributes is not None
        assert (span.parent.trace_id, span.parent.span_id) == (int(_TRACE, 16), int(_SPAN, 16))
        assert [link.context for link in span.links] == [batch.context]
        assert (span.start_time, span.end_time) == (batch.start_time, batch.end_time)
        assert span.attributes["messaging.batch.message_count"] == 3
        assert span.attributes["remit.transfer_id"] == str(item.instruction.transfer_id)
        assert span.attributes.get("remit.redelivered", False) is (item is again)


def test_a_batch_without_a_traced_item_leaves_nothing(exported: InMemorySpanExporter) -> None:
    """Nor does one whose items bear what another release let through."""
    bearing = [requested(context=_traced(said)) for said in ("", "garbage", _UNSAMPLED)]
    with traces.batch("screen", "fraud.requested", bearing[:1]), traces.part("answer", bearing[1].instruction.context):
        pass
    with traces.batch("screen", "fraud.requested", bearing[1:]):
        pass
    assert exported.get_finished_spans() == ()


def test_many_items_of_one_call_are_told_by_some(exported: InMemorySpanExporter) -> None:
    """A call of a thousand would otherwise fill what is kept for all; what is left out is counted."""
    before = SPANS_DROPPED.labels("batch")._value.get()
    context, other = _traced(), _traced(f"00-{_TRACE[::-1]}-{_SPAN}-01")
    items = [*(requested(context=context) for _ in range(70)), requested(context=other)]
    with traces.batch("screen", "fraud.requested", items):
        pass
    *told, batch = exported.get_finished_spans()
    assert len(told) == 51
    assert batch.attributes is not None
    assert batch.attributes["remit.items_left_out"] == 20
    assert SPANS_DROPPED.labels("batch")._value.get() == before + 20


def test_what_fails_is_told_by_its_class_alone(exported: InMemorySpanExporter) -> None:
    """And goes on failing: a batch, and a part of a call."""
    item = requested(context=_traced())
    with pytest.raises(ValueError, match="Doe"), traces.batch("settle", "transfer.screened", [item]):
        raise ValueError("12.34 of Mr. Doe")
    with pytest.raises(KeyError), traces.part("answer", item.instruction.context):
        raise KeyError("12.34 of Mr. Doe")
    found = exported.get_finished_spans()
    assert [(span.attributes or {})["error.type"] for span in found] == ["ValueError", "ValueError", "KeyError"]
    for span in found:
        assert (span.status.is_ok, span.status.description, span.events) == (False, None, ())


def test_logs_name_the_trace_of_an_item_that_has_one() -> None:
    assert named(requested(context=_traced()))["trace_id"] == _TRACE
    assert "trace_id" not in named(requested())


def test_nothing_that_counts_depends_on_a_trace() -> None:
    """Neither ids nor what the audit log holds; and without one a message has no field."""
    item = screened()
    plain, marked = (
        TransferScreened(
            instruction=instruction(
                **dict.fromkeys(("transfer_id", "from_account_id", "to_account_id"), _ID), context=context
            ),
            screening=item.screening,
        )
        for context in (_traced(""), _traced())
    )
    assert plain.event_id == marked.event_id
    assert _row(plain) == _row(marked)
    assert b"traceparent" not in encode_item(plain)
    assert b"traceparent" in encode_item(marked)


def _row(event: Message) -> tuple[object, ...]:
    entry = entry_of(event)
    return *entry[:DETAILS], bytes(entry.details), *entry[DETAILS + 1 :]


@pytest.mark.parametrize("service", sorted(SETTINGS_OF))
def test_a_service_that_does_not_trace_imports_nothing_for_it(service: str) -> None:
    """Nor does it pay for it in memory or in time. (Redis' client imports the SDK's metrics where it finds them.)"""
    code = (
        f"import sys, services.{service}.__main__\n"
        "from shared.observability import traces\n"
        "from shared.settings import traces_from\n"
        "with traces.tracing('x', traces_from({'REMIT_TRACES_ENDPOINT': ''})):\n"
        "    paid_for = ('opentelemetry.sdk.trace', 'opentelemetry.exporter', 'google.protobuf', 'requests')\n"
        "    loaded = [name for name in sys.modules if name.startswith(paid_for)]\n"
        "    assert not traces.is_on() and not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_what_is_off_records_nothing_and_makes_nothing() -> None:
    """Each place gets the same empty block, whatever it names."""
    assert traces.begin(_headers(_SAMPLED), "r") is None
    empty = traces.batch("screen", "fraud.requested", [requested(context=_traced())])
    assert empty is traces.part("answer", _traced())


@pytest.mark.parametrize(
    ("given", "endpoint"),
    [
        ("", None),
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("https://collector:4318/", "https://collector:4318/v1/traces"),
        ("http://tempo/otlp/v1/traces", "http://tempo/otlp/v1/traces"),
    ],
)
def test_an_endpoint_without_a_path_has_the_usual_one(given: str, endpoint: str | None) -> None:
    assert traces_from({"REMIT_TRACES_ENDPOINT": given}).endpoint == endpoint


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REMIT_TRACES_ENDPOINT", "collector:4318"),
        ("REMIT_TRACES_ENDPOINT", "grpc://collector:4317"),
        ("REMIT_TRACES_ENDPOINT", "http://user:s3cret@collector:4318/v1/traces"),
        ("REMIT_TRACES_SAMPLE", "1.01"),
        ("REMIT_TRACES_SAMPLE", "-1"),
        ("REMIT_TRACES_SAMPLE", "nan"),
        ("REMIT_TRACES_SAMPLE", "all"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        traces_from({name: value})
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


class _Stuck(SpanExporter):
    """A collector that takes a connection and never answers."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.has_begun.set()
        self.may_end.wait()
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        pass


@pytest.fixture
def stuck() -> Iterator[_Stuck]:
    exporter = _Stuck()
    yield exporter
    exporter.may_end.set()


def test_a_collector_that_does_not_answer_costs_a_bounded_memory_and_a_bounded_end(
    stuck: _Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What there is no room for is counted; who records never waits."""
    monkeypatch.setattr(spans, "_CLOSE_TIMEOUT_S", 0.2)
    before = SPANS_DROPPED.labels("queue")._value.get()
    waiting = spans._Waiting(spans._Exporter(stuck, "test"))
    recorder = SpanRecorder(waiting, "test", 1.0)
    context, began_s = _traced(), time.monotonic()
    for _ in range(4_000):
        with recorder.part("answer", context, None):
            pass
    assert time.monotonic() - began_s < 30
    assert stuck.has_begun.wait(30)
    dropped = SPANS_DROPPED.labels("queue")._value.get() - before
    assert waiting.waiting <= 2_048
    assert 4_000 - 2_048 - 256 <= dropped <= 4_000 - 2_048
    began_s = time.monotonic()
    recorder.close()
    assert time.monotonic() - began_s < 30


class _Failing(InMemorySpanExporter):
    is_failing = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.FAILURE if self.is_failing else super().export(spans)


def test_an_export_that_fails_is_told_once_and_counted_always() -> None:
    before = SPANS_DROPPED.labels("export")._value.get()
    failing = _Failing()
    exporter = spans._Exporter(failing, "test")
    recorder = _recording(exporter, sample=1.0)
    with structlog.testing.capture_logs() as logged:
        for failing.is_failing in (True, True, True, False, False, True):
            with recorder.part("answer", _traced(), None):
                pass
    assert [line["event"] for line in logged] == ["spans_not_exported", "spans_exported_again", "spans_not_exported"]
    assert SPANS_DROPPED.labels("export")._value.get() == before + 4


def test_an_end_sends_what_is_left() -> None:
    exporter = InMemorySpanExporter()
    recorder = SpanRecorder(spans._Waiting(spans._Exporter(exporter, "test")), "test", 1.0)
    with recorder.part("answer", _traced(), settled().instruction.transfer_id):
        pass
    recorder.close()
    (span,) = exporter.get_finished_spans()
    assert (span.name, span.resource.attributes["service.name"]) == ("answer", "remit-test")


def test_off_is_what_nobody_asked_for() -> None:
    assert traces_from({}) == TraceSettings(endpoint=None, sample=0.01)
