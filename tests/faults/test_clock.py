"""A worker whose clock is wrong, and a worker that was away: state is of the log, never of the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from operators.iot import topology
from pipeline.state.api import WriteSet
from pipeline.state.identity import read_identity
from pipeline.state.rocks import RocksStore, open_checkpoint
from tests.oracle import Parameters, recount
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_exactly_once, assert_tables
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes, stores
from tests.support.readings import for_the_oracle, readings
from tests.support.waiting import eventually

PARTITIONS = 2
DAY_MS = 24 * 3_600_000
YEAR_MS = 365 * DAY_MS
TABLES = [table.name for table in topology().aggregates[0].tables]

pytestmark = pytest.mark.timeout(900)


def turn_applied_at(cluster: Cluster, by_ms: int) -> int:
    """As if each store had been applied to so much later; returns how many stores there are."""
    count = 0
    for directory in stores(cluster, cluster.topology.aggregates[0]):
        identity = read_identity(directory)
        assert identity is not None
        store = RocksStore.open(directory, identity, TABLES)
        applied_at_ms = store.position.applied_at_ms + by_ms
        store.apply(WriteSet(), msgspec.structs.replace(store.position, applied_at_ms=applied_at_ms))
        store.close()
        count += 1
    return count


def holds(store: Path, device: bytes) -> bool:
    with open_checkpoint(store, TABLES) as view:
        return view.get("device-state", device) is not None


def test_state_does_not_depend_on_the_clock_of_the_worker(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Right, a year ahead, right, a year behind, right: each worker takes over what the one before it left."""
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        rebuilt = []
        accepted = []
        for turn, ahead_ms in enumerate((0, YEAR_MS, 0, -YEAR_MS, 0)):
            transform = cluster.start("transform", None, ahead_ms=ahead_ms)
            aggregate = cluster.start("aggregate", None, ahead_ms=ahead_ms)
            with TelemetryLoad(cluster, rate=500, devices=20, seed=turn) as load:
                eventually(lambda load=load: len(load.sent) > 300, "there is load")  # type: ignore[misc]
            accepted.append(load.accepted)
            cluster.drain()
            if ahead_ms == 0:
                assert_exactly_once(cluster, lambda message: any(each(message) for each in accepted))
            rebuilt.append(len(aggregate.events("store put in quarantine, rebuilding")))
            transform.stop()
            aggregate.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == PARTITIONS
        # A jump ahead makes stores look as old, a jump back makes them come from the future: neither can be told from
        # one that was away while deletions went.
        assert rebuilt == [0, PARTITIONS, PARTITIONS, PARTITIONS, PARTITIONS]
        figure(f"5 clocks, a year apart: each state the oracle's; stores rebuilt at each jump: {rebuilt}")


@pytest.mark.parametrize("away", [-7 * DAY_MS, YEAR_MS], ids=["7 days ago", "a year ahead"])
def test_a_device_that_was_deleted_while_a_store_was_away_stays_deleted(
    kafka: Kafka, prefix: str, tmp_path: Path, away: int, figure: Callable[[str], None]
) -> None:
    """Its tombstone has come and gone: nothing in the changelog tells the old store of it."""
    administrator = Administrator(kafka.bootstrap_servers)
    gone = b"device-000003"
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        changelogs = {cluster.full(topic): topic for topic in cluster.topology.changelogs}
        cluster.send("readings", readings(10, 8))
        cluster.start("aggregate", None)
        cluster.drain()
        cluster.stop()
        disk = cluster.disk("aggregate", UNNAMED)
        disk.rename(disk.with_name("aside"))

        cluster.send("readings", [(gone, None)])
        cluster.start("aggregate", None)
        cluster.drain()
        settings = cluster.admin.topic_configs(list(changelogs))
        quick = {"segment_ms": "100", "min_compaction_lag_ms": "0", "delete_retention_ms": "0",
                 "min_cleanable_dirty_ratio": "0.01"}  # fmt: skip
        for changelog in changelogs:
            administrator.alter_topic(changelog, **quick)
        # Later commits close the segments, so that they are compacted; the first pass leaves tombstones alone.
        rounds = iter(range(8, 1_000))

        def expired() -> bool:
            cluster.send("readings", (row for row in readings(10, 1, next(rounds)) if row[0] != gone))
            cluster.drain()
            time.sleep(0.2)
            # `origins` has no device in its keys.
            tables = [topic for topic in changelogs.values() if topic != "origins-changelog"]
            return not any(gone in (record.key or b"") for topic in tables for record in cluster.records(topic))

        eventually(expired, "the changelogs hold neither the device nor its tombstone")
        cluster.stop()
        for changelog in changelogs:
            administrator.alter_topic(
                changelog, **{name: settings[changelog][name.replace("_", ".")] for name in quick}
            )
        cluster.lose_disk("aggregate", UNNAMED)
        disk.with_name("aside").rename(disk)
        assert turn_applied_at(cluster, away) == PARTITIONS
        assert sum(holds(directory, gone) for directory in stores(cluster, cluster.topology.aggregates[0])) == 1

        worker = cluster.start("aggregate", None)
        cluster.drain()
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
        assert gone.decode() not in expected.devices
        assert_tables(cluster, expected)
        assert len(worker.events("store put in quarantine, rebuilding")) == PARTITIONS
        figure("its tombstone expired, the store that still held it was rebuilt, the device stayed deleted")
