"""A reader outside any group: committed records from given offsets on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.errors import Retryable, StateUnusable
from pipeline.log.api import Committed, Message, TopicPartition
from pipeline.log.ending import end_beside
from pipeline.log.errors import translate
from pipeline.log.group_offsets import GroupOffsets
from pipeline.log.outage import OutageWatch

METADATA_TIMEOUT_S = 5.0


class KafkaReader:
    """Used by restores, verification and look-ups; one thread at a time.

    A client whose brokers have all gone was seen to know of none when they were back, and to look for none, ever. So
    one that has worked, and hears that all are away or gets no answer, is ended, and the next goes on where it was.
    """

    def __init__(self, configuration: Mapping[str, Any], *, grouped: bool) -> None:
        """`grouped`: whether the group is one to ask for offsets, or only a name that the client demands."""
        self._outage = OutageWatch(configuration)
        # It looks for its group's coordinator, whether anybody asks or not; who has no group needs no right to one.
        self._passing = set() if grouped else {KafkaError.GROUP_AUTHORIZATION_FAILED}
        self._offsets = GroupOffsets(configuration)
        self._worked = False
        """Whether this client was ever answered: one that was made in an outage waits for the end of it."""
        self._consumer = Consumer(self._outage.configuration)
        self._begun = True
        self._positions: dict[TopicPartition, int] = {}

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Replace what is read. Raises Retryable while the cluster does not answer."""
        self._consumer.poll(0)  # what it has heard; a record that comes with it belongs to what is replaced
        self._positions = dict(positions)
        if self._outage.seen and self._worked:
            self._make_anew()
        self._begin()

    def _begin(self) -> None:
        self._begun = False
        wanted = [_kafkas(each, offset) for each, offset in self._positions.items()]
        try:
            # Without this look-up the client may sit for up to a second before its first fetch.
            for topic in {each.topic for each in self._positions}:
                self._consumer.list_topics(topic, timeout=METADATA_TIMEOUT_S)
            self._consumer.assign(wanted)
        except KafkaException as error:
            if self._worked:
                self._make_anew()
            raise translate(error) from error
        self._begun = self._worked = True

    def _make_anew(self) -> None:
        gone: list[object] = [self._consumer]
        self._consumer = Consumer(self._outage.configuration)
        end_beside(gone)
        self._outage.seen = self._worked = self._begun = False

    def _go_on_where_it_was(self) -> None:
        """By another client. Raises Retryable while the cluster does not answer."""
        if self._outage.seen and self._worked:
            self._positions |= {each: at for each in self._positions if (at := self._position(each)) is not None}
            self._make_anew()
        if not self._begun:
            self._begin()

    def commit(self, positions: Mapping[TopicPartition, Committed]) -> None:
        offsets = [
            KafkaTopicPartition(each.topic, each.partition, committed.next_offset, metadata=committed.metadata)
            for each, committed in positions.items()
        ]
        try:
            found = self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            raise translate(error) from error
        for each in found:
            if each.error is not None:
                raise translate(each.error)

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        # Not by a pause. The client keeps one over assignments, and a `resume` beside an assignment may overtake the
        # start of it (of two threads each takes a version, and then queues it): nothing would be read, ever.
        for each in partitions:
            del self._positions[each]
        if not self._begun:
            return
        try:
            self._consumer.incremental_unassign([_kafkas(each) for each in partitions])
        except KafkaException as error:
            raise translate(error) from error

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]:
        self._go_on_where_it_was()
        try:
            messages: list[Any] = self._consumer.consume(limit, timeout_s)
        except KafkaException as failure:
            raise translate(failure) from failure
        errors = [message.error() for message in messages if message.error() is not None]
        for error in errors:
            if error.code() in {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}:
                raise StateUnusable("the log does not reach to where reading should start", detail=error.str())
            translated = translate(error)
            if not isinstance(translated, Retryable) and error.code() not in self._passing:
                raise translated
        return [message for message in messages if message.error() is None] if errors else messages

    def position(self, partition: TopicPartition) -> int | None:
        return self._position(partition) if self._begun else None

    def _position(self, partition: TopicPartition) -> int | None:
        try:
            found = self._consumer.position([_kafkas(partition)])[0].offset
        except KafkaException as error:
            raise translate(error) from error
        return int(found) if found >= 0 else None

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        return self._offsets.stable(partitions)

    def close(self) -> None:
        self._offsets.close()
        self._consumer.close()


def _kafkas(partition: TopicPartition, offset: int = OFFSET_INVALID) -> KafkaTopicPartition:
    return KafkaTopicPartition(partition.topic, partition.partition, offset)
