"""`statelog rebuild` and `statelog reset`, by the command, on a real Kafka."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.topics import TopicPlan
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_tables
from tests.support.readings import for_the_oracle, readings

PARTITIONS = 2
CHANGELOG = "device-state-changelog"

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """A pipeline whose aggregate worker, one without an id, has folded its input and stopped."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.send("readings", readings(30, 10))
        cluster.start("aggregate", None)
        cluster.drain()
        cluster.stop()
        yield cluster


def test_what_a_lost_changelog_held_is_folded_from_the_source_again(cluster: Cluster) -> None:
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    cluster.admin.delete_topics([cluster.full(CHANGELOG)])
    TopicPlan(cluster.topology, cluster.settings.prefix).create(cluster.admin, PARTITIONS)
    lost = cluster.start("aggregate", None)
    assert lost.wait() == ExitCode.FAILURE
    assert "rebuild --from-source" in lost.text()

    rebuilt = cluster.command("rebuild", "--from-source", "--yes")
    assert rebuilt.returncode == ExitCode.OK, rebuilt.stderr
    cluster.start("aggregate", None)
    cluster.drain()
    assert_tables(cluster, expected)


def test_stores_of_other_machines_give_way_to_the_rebuild(cluster: Cluster) -> None:
    elsewhere = cluster.disk("aggregate", UNNAMED).with_name("elsewhere")
    cluster.disk("aggregate", UNNAMED).rename(elsewhere)
    rebuilt = cluster.command("rebuild", "--from-source", "--yes", data_dir=cluster.data_dir / "another")
    assert rebuilt.returncode == ExitCode.OK
    elsewhere.rename(cluster.disk("aggregate", UNNAMED))
    worker = cluster.start("aggregate", None)
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert_tables(cluster, expected)
    assert len(worker.events("store put in quarantine, rebuilding")) == PARTITIONS


def test_deleted_stores_come_back_from_the_changelogs(cluster: Cluster) -> None:
    rebuilt = cluster.command("rebuild", "--yes")
    assert rebuilt.returncode == ExitCode.OK, rebuilt.stderr
    assert not cluster.disk("aggregate", UNNAMED).exists()
    worker = cluster.start("aggregate", None)
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert_tables(cluster, expected)
    assert sum(each["records"] for each in worker.events("restored")) > 0


def test_a_reset_leaves_only_what_came_from_outside(cluster: Cluster) -> None:
    assert cluster.command("reset", "--yes").returncode == ExitCode.OK
    assert cluster.records("readings") == cluster.records(CHANGELOG) == []
    cluster.send("readings", readings(5, 10))
    cluster.start("aggregate", None)
    cluster.drain()
    expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
    assert_tables(cluster, expected)


def test_nothing_is_deleted_while_a_worker_lives_or_nobody_says_yes(cluster: Cluster) -> None:
    cluster.start("aggregate", None)
    cluster.wait_until_active("aggregate")
    before = cluster.admin.topics([cluster.full(CHANGELOG)])
    for command in (["rebuild", "--from-source", "--yes"], ["reset", "--yes"], ["reset"]):
        refused = cluster.command(*command)
        assert refused.returncode == ExitCode.MISCONFIGURED
        assert "hint:" in refused.stderr
    assert cluster.command("rebuild", "--yes").returncode == ExitCode.FAILURE, "the stores are open"
    assert cluster.admin.topics([cluster.full(CHANGELOG)]) == before
