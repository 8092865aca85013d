"""The topics of a cluster, each with an id of its own that no later topic of the same name gets."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping

from pipeline.errors import Misconfigured
from pipeline.log.api import TopicPartition
from pipeline.log.memory.partition import PartitionLog
from pipeline.log.memory.topic_config import TopicConfig

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


class MemoryTopic:
    def __init__(self, name: str, number: int, partitions: int, config: TopicConfig) -> None:
        self.name = name
        self.topic_id = b64encode(number.to_bytes(16, "big")).decode().rstrip("=")
        self.config = config
        self.partitions = [PartitionLog(name, partition, config) for partition in range(partitions)]


class MemoryTopics:
    """By name; a deleted one is gone at once."""

    def __init__(self) -> None:
        self._topics: dict[str, MemoryTopic] = {}
        self._made = 0
        self._seen: set[str] = set()

    def create(self, name: str, partitions: int, config: Mapping[str, str]) -> None:
        if not _NAME.fullmatch(name):
            raise Misconfigured("invalid topic", hint="letters, digits, '.', '_' and '-'", code="TOPIC_EXCEPTION")
        if partitions < 1:
            raise Misconfigured("number of partitions was set to an invalid non-positive value",
                                code="INVALID_PARTITIONS")  # fmt: skip
        self._made += 1
        self._seen.add(name)
        self._topics[name] = MemoryTopic(name, self._made, partitions, TopicConfig(config))

    def delete(self, name: str) -> bool:
        """Whether there was one."""
        return self._topics.pop(name, None) is not None

    def get(self, name: str) -> MemoryTopic | None:
        return self._topics.get(name)

    def was_there(self, name: str) -> bool:
        """Whether a topic of this name ever was: clients go on looking for one that they have seen."""
        return name in self._seen

    def find(self, partition: TopicPartition) -> PartitionLog | None:
        topic = self._topics.get(partition.topic)
        if topic is None or not 0 <= partition.partition < len(topic.partitions):
            return None
        return topic.partitions[partition.partition]

    def require(self, partition: TopicPartition) -> PartitionLog:
        """Raises Misconfigured when there is no such partition."""
        found = self.find(partition)
        if found is None:
            raise Misconfigured(
                "unknown topic or partition",
                hint="`statelog topics create` makes the topics, `statelog topics check` says which are missing",
                topic=partition.topic,
                partition=partition.partition,
            )
        return found

    def __iter__(self) -> Iterator[MemoryTopic]:
        return iter(self._topics.values())
