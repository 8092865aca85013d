"""Whether Faust hands over every record: it was seen to skip some after a restart, without a word."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.faust_host.committed import committed_offsets
from pipeline.faust_host.exits import RECORDS_SKIPPED, stop
from pipeline.log.api import Admin, Log, TopicPartition


class Continuity:
    """Expects each record of a partition at the offset after the one before, and the first where the group committed.

    Only for topics without holes: not compacted, and not written in transactions, whose markers take offsets.
    """

    def __init__(self, log: Log, admin: Admin, group: str) -> None:
        self._log = log
        self._admin = admin
        self._group = group
        self._next: dict[TopicPartition, int] = {}

    def expect(self, partition: TopicPartition, offset: int) -> None:
        """Ends the process, before anything is made of the record, if it is not the next one."""
        expected = self._next.get(partition)
        if expected is None:
            # Nothing of this assignment was acknowledged yet, so this is where Faust began, or should have.
            expected = self.begins([partition])[partition]
        if offset != expected:
            where = f"{partition.topic} partition {partition.partition}"
            stop(RECORDS_SKIPPED, f"records out of sequence in {where}: expected offset {expected}, got {offset}")
        self._next[partition] = offset + 1

    def expected(self, partition: TopicPartition) -> int | None:
        """The next record's offset; None before the first of this assignment."""
        return self._next.get(partition)

    def forget(self) -> None:
        """The assignment ends; the next one begins at what is committed then."""
        self._next.clear()

    def begins(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where an assignment begins. Raises Retryable; asks Kafka, and may be called on any thread."""
        committed = committed_offsets(self._log, self._group, partitions)
        earliest = self._admin.earliest([each for each in partitions if committed[each] is None])
        return {each: earliest[each] if there is None else there.next_offset for each, there in committed.items()}
