"""Deleting a key from every table of a stage: by the log, as everything else that changes state."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from operators.topology import REDRIVEN, AggregateStage, Topology
from pipeline.client import Client
from pipeline.errors import Misconfigured, PipelineError, Retryable
from pipeline.log.api import Admin, Log, Message, TopicPartition
from pipeline.log.feed import Feed
from pipeline.log.reading import read_told
from pipeline.partitioning import partition_of
from pipeline.runtime.view import PartitionState
from pipeline.settings import Settings

PAUSE_S = 0.2
RETENTION = "retention.ms"


class Held(NamedTuple):
    """What a topic still holds of a key."""

    topic: str
    records: int
    bytes: int
    retention_ms: int
    """After this time the topic drops them; -1 is never."""


class Span(NamedTuple):
    """The committed records of a partition from `start` to before `end`."""

    partition: TopicPartition
    start: int
    end: int


class Tombstone(NamedTuple):
    """Where the order to forget a key stands in the log."""

    partition: TopicPartition
    offset: int


def keyed_topics(topology: Topology) -> list[str]:
    """The topics that carry records under keys as people know them, but for the changelogs."""
    return [topic for topic in topology.topics if topic not in (*topology.changelogs, REDRIVEN)]


class Forgetting:
    """One key's way out of a stage's tables."""

    def __init__(
        self, settings: Settings, topology: Topology, stage: AggregateStage, log: Log, admin: Admin, key: str
    ) -> None:
        """Raises Misconfigured for a text that is no key of the stage, or a stage that keeps no keys."""
        self._settings = settings
        self._topology = topology
        self._stage = stage
        self._log = log
        self._admin = admin
        self._text = key
        self._key = self._parse(key)

    def _parse(self, text: str) -> bytes:
        for table in self._stage.tables:
            if not table.local:
                try:
                    return table.key.parse(text)
                except ValueError as error:
                    raise Misconfigured(str(error)) from error
        raise Misconfigured(f"stage {self._stage.name} has no table that is found by a key")

    def send(self) -> Tombstone:
        """Put a tombstone, the key with a null value, into the stage's source. Misconfigured when that is missing."""
        topic = self._settings.prefix + self._stage.source
        partition = self._partition_in(topic)
        if partition is None:
            raise Misconfigured(f"topic {topic} does not exist", hint="statelog topics create makes it")
        before = self._admin.last_stable([partition])[partition]
        feed = Feed(self._settings, topic)
        try:
            feed.send([(self._key, None)])
            feed.flush()
        finally:
            feed.close()
        after = self._admin.last_stable([partition])[partition]
        for message in self._read(Span(partition, before, after), lambda _: None):
            if message.key() == self._key and message.value() is None:
                return Tombstone(partition, message.offset())
        raise Retryable("the tombstone cannot be read yet: a transaction before it is open", topic=topic)

    def wait(self, client: Client, tombstone: Tombstone, patience_s: float) -> str:
        """Until the partition's owner has folded it; returns the owner. Retryable when it takes longer."""
        deadline = time.monotonic() + patience_s
        while True:
            row = client.status(self._stage.name)[tombstone.partition.partition]
            if row.state == PartitionState.ACTIVE and row.position is not None and row.position > tombstone.offset:
                return row.owner or ""
            if time.monotonic() >= deadline:
                raise Retryable(
                    f"the tombstone is in the log but not folded yet: partition {row.partition} is {row.state}",
                    hint="it will be, once the partition's owner gets there; see statelog status",
                    position=row.position,
                    tombstone=tombstone.offset,
                )
            time.sleep(PAUSE_S)

    def confirm(self, client: Client) -> None:
        """Every table's owner says that it holds nothing of the key; PipelineError when one still does."""
        for table in self._stage.tables:
            if table.local:
                continue
            if table.select is None:
                there = client.get(table.name, self._text) is not None
            else:
                there = next(client.rows(table.name, self._text), None) is not None
            if there:
                raise PipelineError(
                    f"{table.name} has rows of {self._text} again",
                    hint="something still sends it: stop the sender first, then forget once more",
                )

    def topics(self) -> list[str]:
        """The topics, by full name, that keep records under such keys beside the changelogs."""
        return [self._settings.prefix + topic for topic in keyed_topics(self._topology)]

    def span(self, topic: str) -> Span | None:
        """Where the key's records are in a topic; None when there is no such topic."""
        partition = self._partition_in(topic)
        if partition is None:
            return None
        start = self._admin.earliest([partition])[partition]
        return Span(partition, start, self._admin.last_stable([partition])[partition])

    def held(self, span: Span, progress: Callable[[int], None]) -> Held:
        """Count the key's records there; `progress` hears of each further lot of offsets read."""
        topic = span.partition.topic
        retention_ms = int(self._admin.topic_configs([topic])[topic].get(RETENTION, "-1"))
        records = size = 0
        for message in self._read(span, progress):
            value = message.value()
            if message.key() == self._key and value is not None:
                records += 1
                size += len(value)
        return Held(topic, records, size, retention_ms)

    def _partition_in(self, topic: str) -> TopicPartition | None:
        info = self._admin.topics([topic]).get(topic)
        return None if info is None else TopicPartition(topic, partition_of(self._key, info.partitions))

    def _read(self, span: Span, progress: Callable[[int], None]) -> Iterator[Message]:
        reader = self._log.reader()
        try:
            yield from read_told(reader, span.partition, span.end, span.start, progress)
        finally:
            reader.close()
