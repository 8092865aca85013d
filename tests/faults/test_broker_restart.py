"""The only broker goes under workers at work, in good order and by kill -9, and comes back with its data."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import pytest

from pipeline.broker import EmbeddedBroker
from tests.support.brokers import PrivateBroker
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import eventually

DEVICES = 60
PROMISED_S = 30.0
"""From when the broker answers again until every partition of both stages has been committed to once more."""


def committed(cluster: Cluster) -> list[int]:
    """By stage and partition."""
    return [offset for stage in cluster.topology.stages for _, offset in sorted(cluster.committed(stage.name).items())]


def until_all_go_on(cluster: Cluster) -> float:
    """Seconds until every stage has committed to each of its partitions, past what the broker had when it was back."""
    began = time.monotonic()
    before = committed(cluster)

    def all_went_on() -> bool:
        assert all(worker.alive for worker in cluster.workers), "a worker went with the broker"
        return all(now > then for now, then in zip(committed(cluster), before, strict=True))

    eventually(all_went_on, "every partition of every stage is committed to")
    return time.monotonic() - began


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize(("protocol", "bounded"), [("classic", 3), ("consumer", 1)])
def test_workers_go_on_by_themselves_when_their_broker_is_back(
    private_broker: PrivateBroker,
    prefix: str,
    tmp_path: Path,
    scale: Scale,
    figure: Callable[[str], None],
    protocol: str,
    bounded: int,
) -> None:
    ends = {"kill -9": EmbeddedBroker.kill, "stopped": EmbeddedBroker.stop}
    broker = private_broker(data_dir=tmp_path / "kafka")
    recoveries: dict[str, list[float]] = {how: [] for how in ends}
    with Cluster(
        broker.bootstrap_servers,
        prefix,
        tmp_path / "pipeline",
        group_protocol=protocol,
        session_timeout_ms=6_000,
        transaction_timeout_ms=5_000,
    ) as cluster:
        workers = [cluster.start(stage, name) for stage, name in
                   (("transform", "t0"), ("transform", "t1"), ("aggregate", "a0"), ("aggregate", "a1"))]  # fmt: skip
        with TelemetryLoad(cluster, rate=250, devices=DEVICES) as load:
            until_all_go_on(cluster)
            for how, witness in islice(zip(cycle(ends), cycle(workers)), scale(bounded, full=10)):
                # Frozen, so that the broker goes in the middle of its transaction.
                witness.freeze()
                ends[how](broker)
                witness.thaw()
                assert not broker.alive()
                broker.start()
                recoveries[how].append(until_all_go_on(cluster))
        cluster.drain()
        assert len(assert_exactly_once(cluster, load.accepted).devices) == DEVICES
        assert all(worker.alive for worker in workers)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
    slowest = {how: max(seconds) for how, seconds in recoveries.items() if seconds}
    assert max(slowest.values()) < scale.within_s(PROMISED_S), recoveries
    retaken = sum(len(worker.events("seat in the group taken, joining again")) for worker in workers)
    tried = ", ".join(f"{len(recoveries[how])} times {how}: all goes on within {s:.1f} s" for how, s in slowest.items())
    figure(f"{protocol}: {tried}; {retaken} seats retaken, {len(load.sent)} messages: 0 lost, 0 doubled")
