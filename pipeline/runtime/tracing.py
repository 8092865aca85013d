"""A trace span a commit, by OpenTelemetry, for those who ask for it: its client is imported here alone, and only then.

A span begins with its transaction and ends when the stores have followed. It has links to what the records' headers
name (W3C `traceparent`), and what the stage sends carries the span's own name on: so a device's trace leads to the
transform's commit, and that to the aggregate's.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Final, Protocol

from pipeline.errors import Misconfigured
from pipeline.log.api import Message
from pipeline.runtime.outbox import Outbox
from pipeline.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

TRACEPARENT: Final = "traceparent"
MOST_LINKS: Final = 64
"""Of a span. A commit may hold a record of each of a hundred thousand traces, which nobody would look at."""
LONGEST_HEADER: Final = 128
"""What is longer is no `traceparent`."""
EXPORT_TIMEOUT_S: Final = 2
"""A collector that does not answer holds a worker that stops no longer than that."""


class CommitTraces(Protocol):
    """Told by the loop, once a batch or a commit."""

    def begin(self, outbox: Outbox) -> None:
        """A transaction begins; what goes out by `outbox` is part of it."""
        ...

    def saw(self, messages: Sequence[Message]) -> None:
        """These records are part of it too."""
        ...

    def committed(self, records: int, partitions: Collection[int], seconds: float) -> None:
        """It is done; its commit alone took so many seconds."""
        ...

    def dropped(self) -> None:
        """It will never be. Nothing, when none has begun."""
        ...

    def close(self) -> None: ...


class NoTraces:
    """For everybody else."""

    def begin(self, outbox: Outbox) -> None: ...
    def saw(self, messages: Sequence[Message]) -> None: ...
    def committed(self, records: int, partitions: Collection[int], seconds: float) -> None: ...
    def dropped(self) -> None: ...
    def close(self) -> None: ...


NO_TRACES: Final = NoTraces()


def commit_traces(settings: Settings, stage: str, worker_id: str) -> CommitTraces:
    """What the settings ask for. Raises Misconfigured when that is not installed."""
    if settings.traces == "none":
        return NO_TRACES
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise Misconfigured("traces are not installed", hint="pip install 'statelog[otel]'") from error
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"statelog-{stage}"}
    provider = TracerProvider(
        resource=Resource.create({**named, "service.instance.id": worker_id, "service.version": version("statelog")}),
        shutdown_on_exit=False,  # the worker does it, and may be driven from elsewhere
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_TIMEOUT_S)))
    return OtelTraces(provider, stage)


class OtelTraces:
    """`CommitTraces` by OpenTelemetry's SDK. For the thread of the loop."""

    def __init__(self, provider: TracerProvider, stage: str) -> None:
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("statelog")
        self._stage = stage
        self._trace = trace
        self._propagator = TraceContextTextMapPropagator()
        self._span: trace.Span | None = None
        self._linked: set[bytes] = set()

    def begin(self, outbox: Outbox) -> None:
        self.dropped()
        # Of no trace but its own: it belongs to many records, and so to no one of their traces.
        self._span = self._tracer.start_span(
            f"commit {self._stage}",
            context=self._trace.set_span_in_context(self._trace.INVALID_SPAN),
            kind=self._trace.SpanKind.CONSUMER,
            attributes={"messaging.system": "kafka", "statelog.stage": self._stage},
        )
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, self._trace.set_span_in_context(self._span))
        outbox.mark([(name, value.encode()) for name, value in carrier.items()])

    def saw(self, messages: Sequence[Message]) -> None:
        if self._span is None or len(self._linked) >= MOST_LINKS:
            return
        for message in messages:
            for name, value in message.headers() or ():
                if name == TRACEPARENT and value is not None and value not in self._linked:
                    self._link(value)
            if len(self._linked) >= MOST_LINKS:
                return

    def _link(self, traceparent: bytes) -> None:
        if self._span is None or len(traceparent) > LONGEST_HEADER:
            return
        carrier = {TRACEPARENT: traceparent.decode("ascii", errors="replace")}
        context = self._trace.get_current_span(self._propagator.extract(carrier)).get_span_context()
        if context.is_valid:
            self._linked.add(traceparent)
            self._span.add_link(context)

    def committed(self, records: int, partitions: Collection[int], seconds: float) -> None:
        if self._span is not None:
            self._span.set_attributes(
                {
                    "statelog.records": records,
                    "statelog.partitions": sorted(partitions),
                    "statelog.commit_seconds": seconds,
                }
            )
            self._end()

    def dropped(self) -> None:
        if self._span is not None:
            self._span.set_status(self._trace.StatusCode.ERROR, "the transaction was aborted or lost")
            self._end()

    def _end(self) -> None:
        if self._span is not None:
            self._span.end()
        self._span, self._linked = None, set()

    def close(self) -> None:
        """Send what is not sent yet, for as long as EXPORT_TIMEOUT_S says."""
        self.dropped()
        self._provider.shutdown()
