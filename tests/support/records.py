"""Everything in a topic, as a consumer that honours transactions sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from confluent_kafka import OFFSET_BEGINNING, Consumer
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.log.api import Admin, TopicPartition
from tests.support.waiting import eventually


class StoredRecord(NamedTuple):
    """A record of a topic; of one partition they come in the order of offsets."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    headers: dict[str, bytes]

    @property
    def json(self) -> Any:
        return json.loads(self.value or b"null")


def committed_records(bootstrap_servers: str, admin: Admin, topic: str) -> list[StoredRecord]:
    """All that is committed; waits until no transaction is open in the topic, so nobody may be writing to it."""
    count = admin.topics([topic])[topic].partitions
    partitions = [TopicPartition(topic, number) for number in range(count)]
    eventually(
        lambda: admin.last_stable(partitions) == admin.high_watermarks(partitions), f"no open transaction in {topic}"
    )
    ends = admin.high_watermarks(partitions)
    return _read(bootstrap_servers, {each: end for each, end in ends.items() if end > admin.earliest([each])[each]})


def _read(bootstrap_servers: str, ends: dict[TopicPartition, int]) -> list[StoredRecord]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "a-test-that-never-joins",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.queue.backoff.ms": 5,
            "fetch.wait.max.ms": 20,
        }
    )
    found: list[StoredRecord] = []
    try:
        consumer.assign([KafkaTopicPartition(*each, OFFSET_BEGINNING) for each in ends])
        wanted = [KafkaTopicPartition(*each) for each in ends]

        def at_the_end() -> bool:
            for message in consumer.consume(20_000, 0.05):
                assert message.error() is None, message.error()
                found.append(_record(message))
            positions: Sequence[Any] = consumer.position(wanted)
            return all(each.offset >= ends[TopicPartition(each.topic, each.partition)] for each in positions)

        eventually(at_the_end, "the topic is read to its end")
    finally:
        consumer.close()
    return sorted(found)


def _record(message: Any) -> StoredRecord:
    return StoredRecord(
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        message.timestamp()[1],
        dict(message.headers() or []),
    )
