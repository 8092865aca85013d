"""kill -9 of workers under load: whatever it hits, each device's state is the fold of each of its readings, once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.victim import Victim
from tests.support.waiting import eventually

RATE = 800
DEVICES = 100


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("protocol", "static", "kills"),
    [
        pytest.param("classic", True, 6, id="classic, static"),
        pytest.param("consumer", True, 4, id="consumer, static"),
        pytest.param("consumer", False, 2, id="consumer, dynamic"),
    ],
)
def test_kills_under_load_lose_and_double_nothing(
    kafka: Kafka, prefix: str, tmp_path: Path, protocol: str, static: bool, kills: int
) -> None:
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path,
        group_protocol=protocol,
        session_timeout_ms=3_000,
        transaction_timeout_ms=2_500,
    ) as cluster:
        victims = [
            Victim(cluster, "transform", "t0" if static else None, seed=1),
            Victim(cluster, "aggregate", "a0" if static else None, seed=2),
        ]
        with TelemetryLoad(cluster, rate=RATE, devices=DEVICES) as load, ThreadPoolExecutor() as pool:
            tortures = [pool.submit(victim.suffer, kills, load) for victim in victims]
            last_kill = max(torture.result() for torture in tortures)
            eventually(lambda: len(load.sent) > last_kill, "the load outlasts the last kill")
        cluster.drain()
        expected = assert_exactly_once(cluster, load.accepted)
        assert len(expected.devices) == DEVICES
        assert expected.rows
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
