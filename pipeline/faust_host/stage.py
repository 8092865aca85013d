"""What the agents of both stages share: from Faust's events to records, checked and acknowledged in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from operators.api import Record
from operators.topology import Stage
from pipeline.faust_host.acknowledge import Entry, Lines
from pipeline.faust_host.continuity import Continuity
from pipeline.log.api import Admin, Log, TopicPartition


class StageInput:
    """A stage's source topic, as its agent takes it."""

    def __init__(self, log: Log, admin: Admin, group: str, stage: Stage, topic: str, topic_id: str) -> None:
        self.stage = stage
        self.topic = topic
        self._topic_id = topic_id
        self._continuity = Continuity(log, admin, group)
        self._lines = Lines()

    def begin(self, event: Any) -> tuple[Record, Entry]:
        """The record of an event, and its place in the order of acknowledgements.

        Ends the process if it is not the next of its partition.
        """
        message = event.message
        partition = TopicPartition(message.topic, message.partition)
        self._continuity.expect(partition, message.offset)
        record = Record(
            event.key,
            event.value,
            round(message.timestamp * 1000),
            self._topic_id,
            message.partition,
            message.offset,
        )
        return record, self._lines.of(partition).enter(message.offset, event.ack)

    def expected(self, partition: TopicPartition) -> int | None:
        """The next record's offset; None before the first of this assignment."""
        return self._continuity.expected(partition)

    def begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where an assignment begins. Raises Retryable; asks Kafka, and may be called on any thread."""
        return self._continuity.begins(partitions)

    @property
    def under_way(self) -> bool:
        """Whether a record was begun and is not done."""
        return self._lines.under_way

    def settled(self, partition: int) -> int:
        """All records of the partition up to this offset are done; -1 while nothing is known."""
        return self._lines.of(TopicPartition(self.topic, partition)).settled

    def end_assignment(self) -> None:
        """Partitions are revoked: what is not acknowledged comes again, here or elsewhere."""
        self._lines.close()
        self._continuity.forget()
