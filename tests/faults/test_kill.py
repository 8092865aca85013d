"""kill -9 of workers under load: whatever it hits, each device's state is the fold of each of its readings, once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.drill.recovery import percentile
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.victim import FOLDED_ONLY, OPEN_TRANSACTION, Kill, Victim
from tests.support.waiting import eventually

BETWEEN_FOLD_AND_COMMIT, IN_A_TRANSACTION = 0.75, 0.1
"""Of all kills, how many must hit there."""
OUTLASTS_S = 1_800.0


class Amount(NamedTuple):
    """How hard it is tried."""

    kills: int
    """Of each worker."""
    messages: int
    """At the least; the load always outlasts the last kill."""
    rate: float
    devices: int


@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(
    ("protocol", "names", "bounded", "full"),
    [
        pytest.param("classic", ("0", "1"), Amount(2, 0, 800, 100), Amount(50, 1_000_000, 1_600, 1_000),
                     id="classic, static"),
        pytest.param("consumer", ("0",), Amount(3, 0, 800, 100), Amount(20, 0, 800, 100), id="consumer, static"),
        pytest.param("consumer", (None,), Amount(2, 0, 800, 100), Amount(10, 0, 800, 100), id="consumer, dynamic"),
    ],
)  # fmt: skip
def test_kills_under_load_lose_and_double_nothing(
    kafka: Kafka,
    prefix: str,
    tmp_path: Path,
    scale: Scale,
    figure: Callable[[str], None],
    protocol: str,
    names: tuple[str | None, ...],
    bounded: Amount,
    full: Amount,
) -> None:
    amount = scale(bounded, full=full)
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path,
        group_protocol=protocol,
        # At full length the defaults: whoever judges a million readings leaves the workers little of a small machine.
        session_timeout_ms=scale(3_000, full=10_000),
        transaction_timeout_ms=scale(2_500, full=8_000),
    ) as cluster:
        seats = [(stage, name and stage[0] + name) for stage in ("transform", "aggregate") for name in names]
        victims = [Victim(cluster, stage, worker_id, seed) for seed, (stage, worker_id) in enumerate(seats)]
        with (
            TelemetryLoad(cluster, rate=amount.rate, devices=amount.devices) as load,
            ThreadPoolExecutor(len(victims)) as pool,
        ):
            tortures = [pool.submit(victim.suffer, amount.kills, load) for victim in victims]
            kills = [kill for torture in tortures for kill in torture.result()]
            least = max(amount.messages, *(kill.sent + 1 for kill in kills))
            eventually(lambda: len(load.sent) >= least, "the load outlasts the last kill", OUTLASTS_S)
        cluster.drain()
        expected = assert_exactly_once(cluster, load.accepted)
        assert len(expected.devices) == amount.devices
        assert expected.rows
        assert_digests_equal(cluster)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
    figure(f"{_where(kills)}; {len(load.sent):,} messages: 0 lost, 0 doubled, digests equal; back after "
           f"{percentile([kill.back_s for kill in kills], 50):.1f} s (p50), "
           f"{percentile([kill.back_s for kill in kills], 99):.1f} s (p99)")  # fmt: skip


def _where(kills: list[Kill]) -> str:
    """How many hit where; as many as must have."""
    uncommitted = sum(kill.point in FOLDED_ONLY for kill in kills)
    in_transaction = sum(kill.point in OPEN_TRANSACTION for kill in kills)
    assert uncommitted >= len(kills) * BETWEEN_FOLD_AND_COMMIT
    assert in_transaction >= len(kills) * IN_A_TRANSACTION
    return f"{len(kills)} kills, {uncommitted} between fold and commit, {in_transaction} of them in an open transaction"
