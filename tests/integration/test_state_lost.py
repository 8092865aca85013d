"""The changelog no longer holds what was committed: the worker stops by name, and nothing is written over."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.log.api import Committed, TopicPartition
from pipeline.topics import TopicPlan
from tests.oracle import Parameters, recount
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_tables
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.readings import for_the_oracle, readings
from tests.support.refusing import assert_state_lost

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
    assert_state_lost(cluster)
    assert _stores_with_rows(cluster) == PARTITIONS, "the old stores are evidence"
    cluster.lose_disk("aggregate", UNNAMED)
    assert_state_lost(cluster)
    assert cluster.records("device-state-changelog") == []
    assert _committed(cluster) == committed


def _stores_with_rows(cluster: Cluster) -> int:
    """In place or in quarantine."""
    return len({path.parent for path in cluster.disk("aggregate", UNNAMED).rglob("*.sst")})


def test_offsets_moved_by_hand_are_noticed_and_may_be_put_back(kafka: Kafka, cluster: Cluster) -> None:
    administrator = Administrator(kafka.bootstrap_servers)
    committed = _committed(cluster)
    disk = cluster.disk("aggregate", UNNAMED)
    aside = disk.with_name("aside")
    # As `kafka-consumer-groups --reset-offsets --to-earliest` does: an offset, and nothing about the state beside it.
    administrator.commit(cluster.group("aggregate"), dict.fromkeys(committed, Committed(0, "")))
    assert_state_lost(cluster)
    # As one who copies what another group committed: with metadata, which tells of a state that this store is beyond.
    administrator.commit(
        cluster.group("aggregate"), {each: Committed(0, there.metadata) for each, there in committed.items()}
    )
    assert_state_lost(cluster)
    # A group that was deleted.
    cluster.admin.delete_group(cluster.group("aggregate"))
    assert_state_lost(cluster)
    shutil.move(disk, aside)
    assert_state_lost(cluster)
    shutil.rmtree(disk)
    shutil.move(aside, disk)

    administrator.commit(cluster.group("aggregate"), committed)
    cluster.start("aggregate", None)
    cluster.send("readings", readings(30, 5, first_round=10))
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert_tables(cluster, expected)
    cluster.stop()
    assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == PARTITIONS


def _committed(cluster: Cluster) -> dict[TopicPartition, Committed]:
    found = cluster.admin.group_offsets(cluster.group("aggregate"), cluster.each_partition("readings"))
    return {each: there for each, there in found.items() if there is not None}
