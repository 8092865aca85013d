"""What a benchmark asks of its Kafka: whole topics, how far groups have come, how much was written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.log.api import Message, Reader, TopicPartition
from pipeline.log.kafka import KafkaLog

PARTITIONS = 4
"""Of every topic, unless it is their number that is measured."""
STALLED_S = 30.0


def partitions_of(topic: str, count: int = PARTITIONS) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(count)]


def committed(log: KafkaLog, topic: str) -> Iterator[Message]:
    """All that is committed in a topic that nobody writes to; of each partition in the order of its offsets."""
    admin, reader = log.admin(), log.reader()
    try:
        ends = admin.high_watermarks(partitions_of(topic, admin.topics([topic])[topic].partitions))
        left = {each: end for each, end in ends.items() if end}
        reader.assign(dict.fromkeys(left, 0))
        moved_at = time.monotonic()
        while left:
            messages = reader.poll(20_000, 0.05)
            yield from messages
            if messages:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_S:
                raise TimeoutError(f"{topic} cannot be read to its end: a transaction was left open in it")
            left = {each: end for each, end in left.items() if (reader.position(each) or 0) < end}
    finally:
        reader.close()
        admin.close()


def last_rows(log: KafkaLog, topic: str) -> dict[bytes, bytes]:
    """A changelog's table: the last value of each key."""
    rows: dict[bytes, bytes] = {}
    for message in committed(log, topic):
        key, value = message.key(), message.value()
        assert key is not None
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return rows


def count(reader: Reader, expected: int, began: Callable[[], None] = lambda: None) -> None:
    """Take so many records and look at each, as cheaply as a worker could; `began` hears of the first."""
    seen = 0
    while seen < expected:
        messages = reader.poll(20_000, 0.1)
        if messages and not seen:
            began()
        for message in messages:
            message.key()
            message.value()
            message.partition()
            message.offset()
        seen += len(messages)


class GroupWatch:
    """How far a consumer group has committed; joins nothing, and no open transaction delays the answer."""

    def __init__(self, bootstrap_servers: str, group: str, ends: Mapping[TopicPartition, int]) -> None:
        self._ends = ends
        self._wanted = [KafkaTopicPartition(*each) for each in ends]
        self._consumer = Consumer(
            {"bootstrap.servers": bootstrap_servers, "group.id": group, "isolation.level": "read_uncommitted"}
        )

    def left(self) -> int:
        """How many records are not committed yet."""
        rows: Sequence[Any] = self._consumer.committed(self._wanted, timeout=30)
        done = {TopicPartition(row.topic, row.partition): max(row.offset, 0) for row in rows}
        return sum(end - done[each] for each, end in self._ends.items())

    def close(self) -> None:
        self._consumer.close()
