"""Traces end to end: two workers, a collector that takes OTLP, and a device that names its trace."""

from __future__ import annotations

import gzip
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.waiting import eventually

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"
READING = {
    "device_id": "press-07",
    "metric": "temperature",
    "value": 73.9,
    "unit": "degF",
    "event_time": 1_386_018_900_000,
}


class Collector:
    """What OTLP exporters send to."""

    def __init__(self) -> None:
        spans = self.spans = list[Any]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    named = {each.key: each.value.string_value for each in resource.resource.attributes}
                    spans.extend((named, span) for scope in resource.scope_spans for span in scope.spans)
                self.send_response(200)
                self.send_header("content-type", "application/x-protobuf")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def of(self, service: str) -> list[Any]:
        return [span for named, span in list(self.spans) if named["service.name"] == service]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


def test_a_devices_trace_leads_to_the_commits_that_it_went_through(
    kafka: Kafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1, traces="otlp") as cluster:
        cluster.start("transform", "t0")
        cluster.start("aggregate", "a0")
        producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
        producer.produce(cluster.full("telemetry"), json.dumps(READING).encode(), b"press-07",
                         headers={"traceparent": TRACEPARENT})  # fmt: skip
        assert producer.flush(30) == 0
        cluster.drain()
        # Each worker sends its own when it is time to: the aggregate's may come first.
        eventually(
            lambda: all(collector.of(f"statelog-{stage}") for stage in ("transform", "aggregate")),
            "both spans have come",
        )
        (transform,), (aggregate,) = collector.of("statelog-transform"), collector.of("statelog-aggregate")
        assert [link.trace_id.hex() for link in transform.links] == [TRACE_ID]
        assert [(link.trace_id, link.span_id) for link in aggregate.links] == [(transform.trace_id, transform.span_id)]
        assert transform.name == "commit transform"
        assert {each.key: each.value.int_value for each in aggregate.attributes}["statelog.records"] == 1
        assert aggregate.end_time_unix_nano > aggregate.start_time_unix_nano > transform.start_time_unix_nano
        assert cluster.rows("device-state")[0][0] == "press-07", "the headers hinder nobody"


def test_a_collector_that_says_nothing_stops_no_worker_and_holds_none_for_long(
    kafka: Kafka, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Callable[[str], None]
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1, traces="otlp") as cluster,
    ):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "3600")
        worker = cluster.start("transform", "t0")
        cluster.send("telemetry", [(b"press-07", json.dumps(READING).encode())] * 10)
        eventually(lambda: sum(cluster.committed("transform").values()) >= 10, "all is committed")
        worker.signal(signal.SIGTERM)
        eventually(lambda: bool(worker.events("worker stopped")), "it has drained", pause_s=0.01)
        began = time.monotonic()
        assert worker.wait() == 0
        held_s = time.monotonic() - began
        # It gave up by its own time-out: left to the environment's it would still be waiting, and at the end of its
        # patience be gone without a word.
        assert worker.events("Failed to export spans batch due to timeout, max retries or shutdown.")
        figure(f"held for {held_s:.1f} s by a collector that says nothing")
