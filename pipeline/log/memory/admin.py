"""Questions to, and orders for, the in-memory cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import Misconfigured
from pipeline.log.api import Committed, Member, TopicInfo, TopicPartition

if TYPE_CHECKING:
    from pipeline.log.memory.cluster import MemoryCluster


class MemoryAdmin:
    """`pipeline.log.api.Admin`."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._cluster = cluster

    def brokers(self) -> int:
        """One, as nothing here can fail over."""
        return 1

    def topics(self, names: Sequence[str]) -> dict[str, TopicInfo]:
        found = {name: self._cluster.topics.get(name) for name in names}
        return {
            name: TopicInfo(name, topic.topic_id, len(topic.partitions))
            for name, topic in found.items()
            if topic is not None
        }

    def create_topics(self, topics: Mapping[str, Mapping[str, str]], partitions: int, replicas: int) -> list[str]:
        missing = [name for name in topics if self._cluster.topics.get(name) is None]
        if missing and replicas > 1:
            raise Misconfigured("the target replication factor cannot be reached because only 1 broker is registered",
                                code="INVALID_REPLICATION_FACTOR")  # fmt: skip
        for name in missing:
            self._cluster.topics.create(name, partitions, topics[name])
        return missing

    def topic_configs(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        return {name: dict(self._cluster.topics.require(TopicPartition(name, 0)).config.entries) for name in names}

    def delete_topics(self, names: Sequence[str]) -> None:
        for name in names:
            self._cluster.delete_topic(name)

    def earliest(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return {each: self._cluster.topics.require(each).start for each in partitions}

    def last_stable(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._cluster.run_due()
        return {each: self._cluster.topics.require(each).last_stable for each in partitions}

    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        self._cluster.run_due()
        return {each: self._cluster.topics.require(each).end for each in partitions}

    def group_offsets(self, group: str, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        self._cluster.run_due()
        offsets = self._cluster.group(group).offsets
        return {each: offsets.get(each) for each in partitions}

    def members(self, group: str) -> list[Member]:
        self._cluster.run_due()
        return [Member(each.client.client_id, each.assigned) for each in self._cluster.group(group).members.values()]

    def delete_group(self, group: str) -> None:
        found = self._cluster.group(group)
        if found.members:
            raise Misconfigured(
                "the group is not empty", hint="stop the group's workers and wait for the session timeout", group=group
            )
        found.offsets.forget()

    def close(self) -> None:
        """Nothing to release."""
