"""A worker that dies exactly there, at each named point of the commit and of the restore, and what comes of it."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.runtime.crash import CrashPoint
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.waiting import eventually

COMMIT = (
    CrashPoint.FOLDED,
    CrashPoint.CHANGELOG_SENT,
    CrashPoint.OFFSETS_SENT,
    CrashPoint.COMMITTED,
    CrashPoint.APPLIED,
)
# Each is met by a store that is behind its changelog: the one before it was lost, or left in mid-restore. The point
# within a long restore, RESTORE_CHUNK, has a test of its own in tests/integration/test_restore.py.
RESTORE = (CrashPoint.RESTORE_MARKED, CrashPoint.RESTORED)


def die(cluster: Cluster, stage: str, worker_id: str, point: CrashPoint) -> None:
    worker = cluster.start(stage, worker_id, crash_at=point)
    if point is CrashPoint.REVOKED:
        eventually(lambda: CrashPoint.FOLDED <= worker.point <= CrashPoint.APPLIED, "it works when it is asked to stop")
        worker.signal(signal.SIGTERM)
    assert worker.wait() == -signal.SIGKILL, f"{point.name}: {worker.text()}"
    assert worker.point is point


def die_everywhere(cluster: Cluster, stage: str, worker_id: str, points: tuple[CrashPoint, ...]) -> None:
    """At each point, with the disk kept and, where the worker has one, with the disk lost."""
    stateful = stage == "aggregate"
    for point in points:
        for disk_lost in (False, True) if stateful else (False,):
            die(cluster, stage, worker_id, point)
            if disk_lost:
                cluster.lose_disk(stage, worker_id)
    cluster.start(stage, worker_id)


@pytest.mark.timeout(900)
def test_a_worker_may_die_at_any_point_of_commit_and_restore(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path) as cluster:
        with TelemetryLoad(cluster, rate=600, devices=100) as load, ThreadPoolExecutor() as pool:
            deaths = [
                pool.submit(die_everywhere, cluster, "transform", "t0", (*COMMIT, CrashPoint.REVOKED)),
                pool.submit(die_everywhere, cluster, "aggregate", "a0", (*COMMIT, *RESTORE, CrashPoint.REVOKED)),
            ]
            for death in deaths:
                death.result()
        cluster.drain()
        assert_exactly_once(cluster, load.accepted)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == cluster.partitions


@pytest.mark.timeout(600)
def test_the_survivor_takes_over_from_a_worker_that_never_comes_back(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    with Cluster(
        kafka.bootstrap_servers, prefix, tmp_path, session_timeout_ms=3_000, transaction_timeout_ms=2_500
    ) as cluster:
        cluster.start("transform", "t0")
        survivor = cluster.start("aggregate", "a0")
        # It dies in the middle of a commit, with its transaction open: the survivor has to wait until that has ended.
        with TelemetryLoad(cluster, rate=600, devices=100) as load:
            victim = cluster.start("aggregate", "a1", crash_at=CrashPoint.OFFSETS_SENT)
            assert victim.wait() == -signal.SIGKILL, victim.text()
            cluster.wait_until_active("aggregate")
        cluster.drain()
        assert {row["partition"] for row in survivor.events("restored")} == set(range(cluster.partitions))
        assert_exactly_once(cluster, load.accepted)
