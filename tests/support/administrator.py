"""What an administrator can do to a pipeline's topics and groups, by mistake or by night."""

from __future__ import annotations

from collections.abc import Mapping

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from pipeline.log.api import Committed, TopicPartition
from tests.support.waiting import eventually


class Administrator:
    """Each act returns once the cluster has done it."""

    def __init__(self, bootstrap_servers: str) -> None:
        self._client = AdminClient({"bootstrap.servers": bootstrap_servers})

    def commit(self, group: str, positions: Mapping[TopicPartition, Committed]) -> None:
        """Set the offsets of a group without members."""
        rows = [
            KafkaTopicPartition(each.topic, each.partition, there.next_offset, there.metadata)
            for each, there in positions.items()
        ]
        futures = self._client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, rows)])
        for row in futures[group].result(30).topic_partitions:
            assert row.error is None, row.error

    def delete_head(self, ends: Mapping[TopicPartition, int]) -> None:
        """Delete the records before these offsets. A topic that is only compacted does not let go of its head, and
        one that was so a moment ago does it once its log has heard of the change.
        """
        eventually(lambda: self._deleted(ends), "the head is deleted")

    def _deleted(self, ends: Mapping[TopicPartition, int]) -> bool:
        futures = self._client.delete_records([KafkaTopicPartition(*each, end) for each, end in ends.items()])
        try:
            for future in futures.values():
                future.result(30)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.POLICY_VIOLATION:
                raise
            return False
        return True

    def alter_topic(self, topic: str, **settings: str) -> None:
        """Set these, with underscores for dots."""
        entries = [
            ConfigEntry(name.replace("_", "."), value, incremental_operation=AlterConfigOpType.SET)
            for name, value in settings.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for future in self._client.incremental_alter_configs([resource]).values():
            future.result(30)

    def add_partitions(self, topic: str, count: int) -> None:
        for future in self._client.create_partitions([NewPartitions(topic, count)]).values():
            future.result(30)
