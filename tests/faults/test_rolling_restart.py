"""A rolling restart under load, as an upgrade does it: each aggregate worker drains and is ready again before the next.

Nothing is lost or doubled, no answer goes back, and how long a key is without one is measured: by its owner, and where
a standby may answer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.probe import Probe
from tests.support.scale import Scale
from tests.support.standbys import caught_up
from tests.support.waiting import eventually

WORKERS = ("a0", "a1", "a2")
DEVICES = 200
ANSWERED_WITHIN_S = 10.0
"""By an owner, over a restart: a seat is kept for a session, so what a start takes, and no more."""
STANDBY_ANSWERS_WITHIN_S = 5.0


@pytest.mark.timeout(1_800)
def test_a_rolling_restart_loses_nothing_and_is_short(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    rounds, rate = scale(1, full=3), scale(300.0, full=1_600.0)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, standby_replicas=1) as cluster:
        cluster.start("transform", "t0")
        workers = {worker: cluster.start("aggregate", worker) for worker in WORKERS}
        cluster.wait_until_active("aggregate")
        with TelemetryLoad(cluster, rate=rate, devices=DEVICES) as load:
            devices = _one_of_each_partition(cluster)
            eventually(lambda: _standbys(cluster) >= cluster.partitions, "every partition has a standby")
            before, moved = _owners(cluster), 0
            with (
                Probe(cluster, devices, standby_ok=False) as owners,
                Probe(cluster, devices, standby_ok=True) as anyone,
            ):
                for worker in WORKERS * rounds:
                    sent = len(load.sent)
                    workers[worker].stop()
                    workers[worker] = cluster.start("aggregate", worker)
                    eventually(lambda name=worker: _ready(cluster, name), f"{worker} is ready")  # type: ignore[misc]
                    cluster.wait_until_active("aggregate")
                    eventually(lambda: _standbys(cluster) >= cluster.partitions, "the standbys are back")
                    assert len(load.sent) > sent, "the load went on"
                    after = _owners(cluster)
                    moved += sum(before[partition] != owner for partition, owner in after.items())
                    before = after
        cluster.drain()
        eventually(lambda: caught_up(cluster), "the standbys are as far as the owners")
        expected = assert_exactly_once(cluster, load.accepted)
        assert len(expected.devices) == DEVICES
        assert_digests_equal(cluster)
    assert all(probe.answers[partition] for probe in (owners, anyone) for partition in devices)
    figure(
        f"{len(WORKERS) * rounds} restarts at {rate:g} messages/s: 0 of {len(load.sent):,} lost or doubled, "
        f"digests equal; {moved} times a partition moved; the longest gap in answers {owners.longest_s:.2f} s by "
        f"owners, {anyone.longest_s:.2f} s where a standby may answer"
    )
    assert owners.longest_s < scale.within_s(ANSWERED_WITHIN_S)
    assert anyone.longest_s < scale.within_s(STANDBY_ANSWERS_WITHIN_S)


def _one_of_each_partition(cluster: Cluster) -> dict[int, str]:
    """Devices that are known, once every partition has one."""
    found: dict[int, str] = {}

    def known() -> bool:
        for device, _ in cluster.rows("device-state"):
            found.setdefault(partition_for(device.encode(), cluster.partitions), device)
        return len(found) == cluster.partitions

    eventually(known, "every partition has a device")
    return found


def _owners(cluster: Cluster) -> dict[int, str | None]:
    with cluster.client() as client:
        return {row.partition: row.owner for row in client.status("aggregate")}


def _standbys(cluster: Cluster) -> int:
    """That follow: of those in mid-restore nobody is told anything."""
    with cluster.client() as client:
        return sum(not one.restoring for row in client.status("aggregate") for one in row.standbys)


def _ready(cluster: Cluster, worker: str) -> bool:
    address = cluster.addresses("aggregate").get(worker)
    if address is None:
        return False
    try:
        return httpx.get(f"http://{address}/readyz", timeout=5.0).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False
