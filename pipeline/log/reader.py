"""A reader outside any group: committed records from given offsets on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition

from pipeline.errors import Retryable, StateUnusable
from pipeline.log.api import Committed, Message, TopicPartition
from pipeline.log.errors import translate
from pipeline.log.group_offsets import GroupOffsets


class KafkaReader:
    """Used by restores, verification and look-ups; one thread at a time."""

    def __init__(self, configuration: Mapping[str, Any], *, grouped: bool) -> None:
        """`grouped`: whether the group is one to ask for offsets, or only a name that the client demands."""
        self._consumer = Consumer(dict(configuration))
        self._offsets = GroupOffsets(configuration)
        # It looks for its group's coordinator, whether anybody asks or not; who has no group needs no right to one.
        self._passing = set() if grouped else {KafkaError.GROUP_AUTHORIZATION_FAILED}

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Replace what is read. Raises Retryable while the cluster does not answer."""
        try:
            # Without this look-up the client may sit for up to a second before its first fetch.
            for topic in {each.topic for each in positions}:
                self._consumer.list_topics(topic, timeout=10)
            wanted = [KafkaTopicPartition(each.topic, each.partition, offset) for each, offset in positions.items()]
            self._consumer.assign(wanted)
            # The client keeps a pause over assignments: what was paused once would never be read again.
            self._consumer.resume(wanted)
        except KafkaException as error:
            raise translate(error) from error

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

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        self._consumer.pause([KafkaTopicPartition(each.topic, each.partition) for each in partitions])

    def poll(self, limit: int, timeout_s: float) -> Sequence[Message]:
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
        try:
            found = self._consumer.position([KafkaTopicPartition(partition.topic, partition.partition)])[0].offset
        except KafkaException as error:
            raise translate(error) from error
        return int(found) if found >= 0 else None

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        return self._offsets.stable(partitions)

    def close(self) -> None:
        self._offsets.close()
        self._consumer.close()
