"""Where a stage's outputs and refusals go: the worker's transactional producer, under the pipeline's topic names."""

from __future__ import annotations

from operators.api import Output, Record, Refusal
from operators.topology import DEAD_LETTERS, Stage
from pipeline.log.api import Headers, Sink
from pipeline.runtime.clock import Clock
from schemas.dead_letter import DeadLetter

DETAIL_LIMIT = 500
"""Characters of a refusal's detail that a dead letter keeps: it may quote the message, which is there whole anyway."""


class Outbox:
    """Sends to the topics a stage declared, and to no others."""

    def __init__(self, sink: Sink, stage: Stage, prefix: str, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._send = sink.send
        self._stage = stage.name
        self._topics = {topic: prefix + topic for topic in stage.outputs}
        self._dead_letters = prefix + DEAD_LETTERS
        self._source = prefix + stage.source
        self._refused: dict[str, int] = {}
        self._marks: Headers = ()

    def mark(self, headers: Headers) -> None:
        """Send these headers with everything from here on."""
        self._marks = headers
        self._send = self._send_marked if headers else self._sink.send

    def _send_marked(self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        self._sink.send_with_headers(topic, key, value, timestamp_ms, self._marks)

    def send(self, output: Output) -> None:
        """Raises KeyError for a topic that the stage did not declare."""
        timestamp_ms = output.timestamp_ms
        self._send(self._topics[output.topic], output.key, output.value, timestamp_ms if timestamp_ms > 0 else 0)

    def refuse(self, record: Record, refusal: Refusal) -> None:
        """Keep a refused record whole, with its reason and where it came from."""
        self._refused[refusal.reason] = self._refused.get(refusal.reason, 0) + 1
        letter = DeadLetter(
            key=record.key,
            value=record.value,
            reason=refusal.reason,
            detail=refusal.detail[:DETAIL_LIMIT],
            origin_topic=self._source,
            origin_topic_id=record.topic_id,
            origin_partition=record.partition,
            origin_offset=record.offset,
            time=self._clock.now_ms(),
            stage=self._stage,
        )
        self._sink.send_with_headers(
            self._dead_letters, record.key, record.value, max(record.timestamp_ms, 0), [*letter.headers(), *self._marks]
        )

    def take_refused(self) -> dict[str, int]:
        """By reason, how many records were refused since this was asked last: those of one transaction."""
        refused, self._refused = self._refused, {}
        return refused
