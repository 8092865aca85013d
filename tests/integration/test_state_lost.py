"""The changelog no longer holds what was committed: the worker stops by name, and nothing is written over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka import TopicPartition as KafkaTopicPartition
from confluent_kafka.admin import AdminClient

from pipeline.errors import ExitCode
from pipeline.log.api import Committed, TopicPartition
from pipeline.topics import TopicPlan
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_tables
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.readings import for_the_oracle, readings

PARTITIONS = 2

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """A pipeline whose aggregate worker has folded its input and stopped.

    Without an id it leaves its group at once: offsets can be moved only where nobody is.
    """
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.send("readings", readings(30, 10))
        cluster.start("aggregate", None)
        cluster.drain()
        cluster.stop()
        yield cluster


def test_a_changelog_made_anew_is_noticed_with_the_disk_and_without(cluster: Cluster) -> None:
    changelog = cluster.full("device-state-changelog")
    committed = _committed(cluster)
    cluster.admin.delete_topics([changelog])
    TopicPlan(cluster.topology, cluster.settings.prefix).create(cluster.admin, PARTITIONS)
    _assert_stops(cluster)
    assert _stores_with_rows(cluster) == PARTITIONS, "the old stores are evidence"
    cluster.lose_disk("aggregate", UNNAMED)
    _assert_stops(cluster)
    assert cluster.records("device-state-changelog") == []
    assert _committed(cluster) == committed


def _stores_with_rows(cluster: Cluster) -> int:
    """In place or in quarantine."""
    return len({path.parent for path in cluster.disk("aggregate", UNNAMED).rglob("*.sst")})


def test_offsets_moved_by_hand_are_noticed_and_may_be_put_back(kafka: Kafka, cluster: Cluster) -> None:
    committed = _committed(cluster)
    disk = cluster.disk("aggregate", UNNAMED)
    aside = disk.with_name("aside")
    # As `kafka-consumer-groups --reset-offsets --to-earliest` does: an offset, and nothing about the state beside it.
    _commit(kafka, cluster, dict.fromkeys(committed, Committed(0, "")))
    _assert_stops(cluster)
    # As one who copies what another group committed: with metadata, which tells of a state that this store is beyond.
    _commit(kafka, cluster, {each: Committed(0, there.metadata) for each, there in committed.items()})
    _assert_stops(cluster)
    # A group that was deleted.
    cluster.admin.delete_group(cluster.group("aggregate"))
    _assert_stops(cluster)
    shutil.move(disk, aside)
    _assert_stops(cluster)
    shutil.rmtree(disk)
    shutil.move(aside, disk)

    _commit(kafka, cluster, committed)
    cluster.start("aggregate", None)
    cluster.send("readings", readings(30, 5, first_round=10))
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert_tables(cluster, expected)
    cluster.stop()
    assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == PARTITIONS


def _assert_stops(cluster: Cluster) -> None:
    before = {topic: cluster.admin.high_watermarks(cluster.each_partition(topic)) for topic in cluster.topology.topics
              if topic in cluster.topology.co_partitioned}  # fmt: skip
    worker = cluster.start("aggregate", None)
    assert worker.wait() == ExitCode.FAILURE, worker.text()
    assert "rebuild --from-source" in worker.text()
    assert "Traceback" not in worker.text()
    for topic, ends in before.items():
        assert cluster.admin.high_watermarks(cluster.each_partition(topic)) == ends, f"{topic} was written to"


def _committed(cluster: Cluster) -> dict[TopicPartition, Committed]:
    found = cluster.admin.group_offsets(cluster.group("aggregate"), cluster.each_partition("readings"))
    return {each: there for each, there in found.items() if there is not None}


def _commit(kafka: Kafka, cluster: Cluster, positions: dict[TopicPartition, Committed]) -> None:
    """What an administrator can do to a group without members."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers})
    rows = [
        KafkaTopicPartition(each.topic, each.partition, there.next_offset, there.metadata)
        for each, there in positions.items()
    ]
    group = cluster.group("aggregate")
    futures = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, rows)])
    for row in futures[group].result(30).topic_partitions:
        assert row.error is None, row.error
