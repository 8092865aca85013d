"""A partition that comes to a worker without a standby, while another has one: a checkpoint, and then the tail."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.fetch import WORTH_RECORDS
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_tables
from tests.support.prefixes import assert_stores_are_prefixes, stores
from tests.support.readings import for_the_oracle, readings
from tests.support.standbys import wait_until_caught_up
from tests.support.waiting import eventually

PARTITIONS = 2
DEVICES = 60_000
"""A row each in two tables: so that a checkpoint is worth it for either partition."""

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    """Two workers, each with a partition and a standby of the other's."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1,
                 session_timeout_ms=40_000, transaction_timeout_ms=9_000) as cluster:  # fmt: skip
        for worker in ("a0", "a1"):
            cluster.start("aggregate", worker)
        cluster.wait_until_shared("aggregate", "a0", "a1")
        cluster.send("readings", readings(DEVICES, 1))
        cluster.drain()
        wait_until_caught_up(cluster)
        yield cluster


def _whole(cluster: Cluster) -> int:
    """The fewest records that a partition's changelogs hold."""
    counts = dict.fromkeys(range(PARTITIONS), 0)
    for table in cluster.topology.aggregates[0].tables:
        for record in cluster.records(f"{table.name}-changelog"):
            counts[record.partition] += 1
    return min(counts.values())


def _assert_exact(cluster: Cluster) -> None:
    cluster.drain()
    assert_tables(cluster, recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS)))
    cluster.stop()
    assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= PARTITIONS


def test_a_worker_without_a_standby_takes_a_peers_checkpoint_and_then_the_tail(
    cluster: Cluster, figure: Callable[[str], None]
) -> None:
    whole = _whole(cluster)
    assert whole > WORTH_RECORDS
    # It comes back within its session, without its disk: its partition is its own again, whose standby is elsewhere.
    owner, _ = cluster.workers
    owner.kill()
    cluster.lose_disk("aggregate", "a0")
    cluster.send("readings", readings(20, 1, first_round=1))
    heir = cluster.start("aggregate", "a0")
    eventually(lambda: bool(heir.events("restored")), "its partition is restored")
    (received,) = heir.events("checkpoint received")
    restored = next(line for line in heir.events("restored") if line["partition"] == received["partition"])
    figure(
        f"a checkpoint saved {received['saved']} changelog offsets; {restored['records']} records were left to restore"
    )
    assert received["saved"] >= whole
    assert restored["records"] <= 3 * 20
    _assert_exact(cluster)


def test_a_worker_killed_with_a_checkpoint_in_place_and_not_yet_open_goes_on_with_it(cluster: Cluster) -> None:
    owner, _ = cluster.workers
    owner.kill()
    cluster.lose_disk("aggregate", "a0")
    heir = cluster.start("aggregate", "a0", crash_at=CrashPoint.RECEIVED)
    assert heir.wait() == -signal.SIGKILL, heir.text()
    assert len([each for each in stores(cluster, cluster.topology.aggregates[0]) if each.parent.name == "a0"]) == 1
    again = cluster.start("aggregate", "a0")
    eventually(lambda: bool(again.events("restored")), "its partition is restored")
    assert not again.events("checkpoint received"), "it has it already"
    assert not again.events("store put in quarantine, rebuilding")
    assert again.events("restored")[0]["records"] <= 1
    _assert_exact(cluster)


def test_a_newcomer_takes_the_checkpoint_of_the_owner_that_gave_the_partition_back(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS, standby_replicas=1) as cluster:
        cluster.start("aggregate", "a0")
        cluster.wait_until_active("aggregate")
        cluster.send("readings", readings(DEVICES, 1))
        cluster.drain()
        newcomer = cluster.start("aggregate", "a1")
        eventually(lambda: bool(newcomer.events("restored")), "it has its partition")
        (received,) = newcomer.events("checkpoint received")
        restored = newcomer.events("restored")[0]
        figure(f"a newcomer received {received['saved']} changelog offsets; {restored['records']} records were left")
        assert restored["records"] <= 1
        _assert_exact(cluster)
