"""A reader outside any group, on the in-memory cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.errors import Fenced, PipelineError, Retryable, StateUnusable
from pipeline.log.api import Committed, TopicPartition
from pipeline.log.memory.fetching import Fetcher, OutOfRange
from pipeline.log.memory.offsets import METADATA_LIMIT
from pipeline.log.memory.records import MemoryRecord

if TYPE_CHECKING:
    from pipeline.log.memory.cluster import MemoryCluster


class MemoryReader:
    """`pipeline.log.api.Reader`. A poll takes no time: it gives what is there."""

    def __init__(self, cluster: MemoryCluster, group: str) -> None:
        self._cluster = cluster
        self._group = group
        self._fetcher = Fetcher(cluster.topics)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._fetcher.clear()
        self._fetcher.add(positions)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        self._cluster.run_due()
        offsets = self._cluster.group(self._group).offsets
        if offsets.unstable(partitions):
            raise Retryable("committed offsets are not stable: a transaction holds them open")
        return {each: offsets.get(each) for each in partitions}

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        group = self._cluster.group(self._group)
        if group.members:
            raise Fenced("commit failed: unknown member", code="UNKNOWN_MEMBER_ID")
        for partition, committed in positions.items():
            self._cluster.topics.require(partition)
            if len(committed.metadata) > METADATA_LIMIT:
                raise PipelineError("commit failed: offset metadata string too large", code="OFFSET_METADATA_TOO_LARGE")
        group.offsets.set(positions)

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        self._fetcher.remove(partitions)

    def poll(self, limit: int, timeout_s: float) -> Sequence[MemoryRecord]:  # noqa: ARG002
        self._cluster.run_due()
        try:
            return self._fetcher.poll(limit)
        except OutOfRange as error:
            raise StateUnusable("the log does not reach to where reading should start", detail=str(error)) from error

    def position(self, partition: TopicPartition) -> int | None:
        return self._fetcher.position(partition)

    def close(self) -> None:
        """Nothing to release."""
