"""What groups have committed, and what open transactions are about to commit for them."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pipeline.log.api import Committed, TopicPartition

METADATA_LIMIT = 4095
"""Characters of metadata that a broker takes: one less than `offset.metadata.max.bytes`, as seen on Kafka 4.3."""


class GroupOffsets:
    """One group's positions."""

    def __init__(self) -> None:
        self._committed: dict[TopicPartition, Committed] = {}
        self._pending: dict[int, dict[TopicPartition, Committed]] = {}
        """By producer."""

    def get(self, partition: TopicPartition) -> Committed | None:
        return self._committed.get(partition)

    def set(self, positions: Mapping[TopicPartition, Committed]) -> None:
        self._committed |= positions

    def propose(self, producer: int, positions: Mapping[TopicPartition, Committed]) -> None:
        """Part of a transaction that is open."""
        self._pending.setdefault(producer, {}).update(positions)

    def mark(self, producer: int, *, commit: bool) -> None:
        """The marker that ends the transaction."""
        proposed = self._pending.pop(producer, {})
        if commit:
            self._committed |= proposed

    def unstable(self, partitions: Collection[TopicPartition]) -> bool:
        """Whether an open transaction, or one whose marker has not come yet, may still move one of these."""
        return any(partition in proposed for proposed in self._pending.values() for partition in partitions)

    def forget(self, topic: str | None = None) -> None:
        """What was committed for a topic, or for all."""
        self._committed = {each: there for each, there in self._committed.items() if topic and each.topic != topic}
