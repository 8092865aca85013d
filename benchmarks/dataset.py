"""A stream on the cluster: the same topics for all peers, which every run reads from their beginning."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from functools import cached_property

from benchmarks.reading import PARTITIONS, committed, partitions_of
from benchmarks.streams import Stream
from operators.api import Output, Record
from operators.normalise import READINGS, Normalise
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.log.feed import Feed
from pipeline.log.kafka import KafkaLog
from pipeline.settings import Settings
from pipeline.telemetry.poison import Message
from tests.oracle import ReadingsRecord, TelemetryMessage

TELEMETRY = "telemetry"


class Source:
    """One topic that is read: under a prefix of its own, since statelog's prefix goes before all its topics."""

    def __init__(self, servers: str, topic: str, partitions: int = PARTITIONS) -> None:
        self.prefix = f"bench-{uuid.uuid4().hex[:8]}-"
        self.kind = topic
        """`telemetry` or `readings`."""
        self.topic = f"{self.prefix}{topic}"
        self.partitions = partitions
        self.settings = Settings(bootstrap_servers=servers, prefix=self.prefix)
        self.log = KafkaLog(self.settings)
        self.admin = KafkaAdmin(self.settings)
        self.admin.create_topics({self.topic: {}}, partitions, 1)
        self.topic_id = self.admin.topics([self.topic])[self.topic].topic_id

    def fill(self, batches: Iterable[list[Message]]) -> None:
        feed = Feed(self.settings, self.topic)
        for batch in batches:
            feed.send(batch)
        feed.flush()

    def ends(self) -> dict[TopicPartition, int]:
        return self.admin.high_watermarks(partitions_of(self.topic, self.partitions))

    def telemetry(self) -> Iterator[TelemetryMessage]:
        """What is there, as the oracle takes it."""
        for message in committed(self.log, self.topic):
            yield TelemetryMessage(message.partition(), message.offset(), message.key() or b"", message.value() or b"")

    def remove(self) -> None:
        self.admin.delete_topics([self.topic])
        self.admin.close()


class Dataset:
    """A stream's two topics: telemetry, and the readings that it becomes."""

    partitions = PARTITIONS

    def __init__(self, servers: str, stream: Stream) -> None:
        self._servers = servers
        self.stream = stream

    @cached_property
    def telemetry(self) -> Source:
        source = Source(self._servers, TELEMETRY)
        source.fill(self.stream.messages())
        return source

    @cached_property
    def readings(self) -> Source:
        """Not written by a worker: without transactions' markers any peer sees its offsets without gaps."""
        source = Source(self._servers, READINGS)
        source.fill(readings_of(self.telemetry))
        return source

    def source(self, kind: str) -> Source:
        return self.telemetry if kind == TELEMETRY else self.readings

    def remove(self) -> None:
        for name in ("telemetry", "readings"):
            if name in self.__dict__:
                self.__dict__.pop(name).remove()


def readings_of(telemetry: Source) -> Iterator[list[Message]]:
    """As the transform worker makes them."""
    transform = Normalise().transform
    batch: list[Message] = []
    for message in committed(telemetry.log, telemetry.topic):
        record = Record(
            message.key(),
            message.value(),
            message.timestamp()[1],
            telemetry.topic_id,
            message.partition(),
            message.offset(),
        )
        outcome = transform(record)
        assert isinstance(outcome, Output), outcome
        batch.append((outcome.key, outcome.value))
        if len(batch) == 10_000:
            yield batch
            batch = []
    yield batch


def for_the_oracle(readings: Source) -> Iterator[ReadingsRecord]:
    import json

    for message in committed(readings.log, readings.topic):
        value = message.value()
        yield ReadingsRecord(
            message.partition(), message.offset(), message.key() or b"", json.loads(value) if value else None
        )
