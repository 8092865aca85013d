"""A reader of everything, all along: what it has seen is seen, whatever compaction takes afterwards."""

from __future__ import annotations

from pipeline.log.api import TopicPartition
from pipeline.log.memory import MemoryCluster, MemoryRecord


class History:
    """Committed records, in the order in which they became visible."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster
        self._read_to: dict[TopicPartition, int] = {}
        self.records: dict[str, list[MemoryRecord]] = {}
        """By topic."""

    def look(self) -> None:
        """Read on to where every topic is stable."""
        for topic in self._cluster.topics:
            seen = self.records.setdefault(topic.name, [])
            for log in topic.partitions:
                partition = TopicPartition(topic.name, log.partition)
                records, self._read_to[partition] = log.read(self._read_to.get(partition, 0), log.end + 1)
                seen += records

    def read_to(self, topic: str, partition: int) -> int:
        return self._read_to.get(TopicPartition(topic, partition), 0)

    def of(self, topic: str) -> list[MemoryRecord]:
        return self.records.get(topic, [])
