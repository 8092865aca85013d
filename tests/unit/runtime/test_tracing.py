"""Spans of commits, as OpenTelemetry's own exporter in memory has them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from operators.api import Output, Record, Refusal
from operators.iot import topology
from pipeline.errors import Misconfigured
from pipeline.log.api import Headers
from pipeline.log.memory.records import NOBODY, MemoryRecord
from pipeline.runtime.clock import MACHINE_CLOCK
from pipeline.runtime.outbox import Outbox
from pipeline.runtime.tracing import MOST_LINKS, NO_TRACES, OtelTraces, commit_traces
from pipeline.settings import Settings

STAGE: Final = topology().stages[0]
DEVICE: Final = b"00-%032x-%016x-01"

HOSTILE: Final = [
    b"",
    b"00-" + b"0" * 32 + b"-" + b"1" * 16 + b"-01",
    b"zz-" + b"a" * 32 + b"-" + b"1" * 16 + b"-01",
    b"00-" + b"a" * 32 + b"-" + b"1" * 16 + b"-01" * 1_000,
    b"\xff\xfe\x00",
    b"traceparent\r\nX-Injected: 1",
]


class Sink:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Headers | None]] = []

    def send(self, topic: str, _key: Any, _value: Any, _timestamp_ms: int) -> None:
        self.sent.append((topic, None))

    def send_with_headers(self, topic: str, _key: Any, _value: Any, _timestamp_ms: int, headers: Headers) -> None:
        self.sent.append((topic, headers))


class Traced:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.traces = OtelTraces(provider, "transform")
        self.sink = Sink()
        self.outbox = Outbox(cast("Any", self.sink), STAGE, "", MACHINE_CLOCK)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self.exporter.get_finished_spans()


@pytest.fixture
def traced() -> Iterator[Traced]:
    one = Traced()
    yield one
    one.traces.close()


def message(*headers: tuple[str, bytes | None]) -> MemoryRecord:
    listed = cast("list[tuple[str, bytes]]", list(headers)) or None
    return MemoryRecord("telemetry", 0, 0, b"k", b"v", (1, 1), listed, NOBODY)


def test_a_commit_is_one_span_with_what_it_held_and_links_to_where_that_came_from(traced: Traced) -> None:
    traced.traces.begin(traced.outbox)
    traced.traces.saw([message(("traceparent", DEVICE % (7, 1))), message(), message(("other", b"x"))])
    traced.traces.saw([message(("traceparent", DEVICE % (7, 1))), message(("traceparent", DEVICE % (8, 2)))])
    traced.traces.committed(5, {3, 1}, 0.25)
    (span,) = traced.spans
    assert span.name == "commit transform"
    assert span.parent is None, "it is part of many traces, and so of none"
    assert span.attributes is not None
    assert span.attributes["statelog.records"] == 5
    assert span.attributes["statelog.partitions"] == (1, 3)
    assert span.attributes["statelog.commit_seconds"] == 0.25
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [(7, 1), (8, 2)]
    assert span.status.status_code is StatusCode.UNSET


def test_what_goes_out_names_the_span_that_it_is_part_of(traced: Traced) -> None:
    output = Output("readings", b"k", b"v", 5)
    traced.outbox.send(output)
    traced.traces.begin(traced.outbox)
    traced.outbox.send(output)
    traced.outbox.refuse(Record(b"k", b"v", 5, "id", 0, 9), Refusal("not-json", "no"))
    traced.traces.committed(2, {0}, 0.1)
    context = traced.spans[0].get_span_context()
    assert context is not None
    named = b"00-%032x-%016x-" % (context.trace_id, context.span_id)
    (_, plain), (_, marked), (_, letter) = traced.sink.sent
    assert plain is None
    assert dict(marked or ())["traceparent"].startswith(named)
    assert dict(letter or ())["traceparent"].startswith(named)
    assert dict(letter or ())["statelog-reason"] == b"not-json"


def test_links_are_bounded(traced: Traced) -> None:
    asked = 0

    class Counted(MemoryRecord):
        def headers(self) -> list[tuple[str, bytes]] | None:
            nonlocal asked
            asked += 1
            return [("traceparent", DEVICE % (asked, asked))]

    traced.traces.begin(traced.outbox)
    for _ in range(3):
        traced.traces.saw([Counted("t", 0, 0, None, None, (1, 1), None, NOBODY) for _ in range(MOST_LINKS)])
    traced.traces.committed(3 * MOST_LINKS, {0}, 0.1)
    assert len(traced.spans[0].links) == MOST_LINKS
    assert asked == MOST_LINKS, "with all links taken nobody looks at headers"


@pytest.mark.parametrize("header", HOSTILE)
def test_a_header_that_names_no_trace_is_passed_over(traced: Traced, header: bytes) -> None:
    traced.traces.begin(traced.outbox)
    traced.traces.saw(
        [message(("traceparent", header), ("traceparent", None)), message(("traceparent", DEVICE % (7, 1)))]
    )
    traced.traces.committed(2, {0}, 0.1)
    assert [link.context.trace_id for link in traced.spans[0].links] == [7]


def test_a_transaction_that_never_was_is_an_error_and_leaves_the_next_one_clean(traced: Traced) -> None:
    traced.traces.begin(traced.outbox)
    traced.traces.saw([message(("traceparent", DEVICE % (7, 1)))])
    traced.traces.dropped()
    traced.traces.dropped()
    traced.traces.begin(traced.outbox)
    traced.traces.committed(1, {0}, 0.1)
    lost, done = traced.spans
    assert lost.status.status_code is StatusCode.ERROR
    assert done.status.status_code is StatusCode.UNSET
    assert not done.links
    assert lost.context.trace_id != done.context.trace_id


def test_off_nothing_of_it_is_imported_and_outputs_have_no_headers() -> None:
    assert commit_traces(Settings(), "transform", "t0") is NO_TRACES
    sink = Sink()
    outbox = Outbox(cast("Any", sink), STAGE, "", MACHINE_CLOCK)
    NO_TRACES.begin(outbox)
    outbox.send(Output("readings", b"k", b"v", 5))
    assert sink.sent == [("readings", None)]
    code = "import sys, pipeline.service; sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_not_installed_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(Misconfigured, match="not installed") as found:
        commit_traces(Settings(traces="otlp"), "transform", "t0")
    assert "statelog[otel]" in found.value.hint
