"""What a cluster carries on paper, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.capacity import Cluster, Cost, capacity, cost_of

COST = Cost(worker_cpu_s=5.0, read_cpu_s=0.5, written_cpu_s=1.5, read_bytes=50, written_bytes=20)
WHOLE = Cluster(3, 12, broker_cores=4, replication=3, network_mb_s=100, headroom=1.0)


def test_each_resource_has_its_limit_and_the_least_of_them_bounds() -> None:
    found = capacity(COST, WHOLE)
    assert found.workers == pytest.approx(12 / 5 * 1e6)
    assert found.broker_cpu == pytest.approx(3 * 4 / (0.5 + 3 * 1.5) * 1e6)
    assert found.broker_network == pytest.approx(3 * 100e6 / (50 + 2 * 20)), "out is more than in: 90 bytes to 60"
    assert (found.events_s, found.bound_by) == (found.workers, "workers")
    many = capacity(COST, replace(WHOLE, workers=13))
    assert (many.events_s, many.bound_by) == (found.broker_cpu, "brokers' CPU")
    slow = capacity(COST, replace(WHOLE, network_mb_s=1))
    assert slow.bound_by == "brokers' network"


def test_there_are_no_more_copies_than_brokers() -> None:
    assert capacity(COST, replace(WHOLE, brokers=1)).broker_cpu == pytest.approx(4 / (0.5 + 1.5) * 1e6)


def test_headroom_takes_its_part_of_everything() -> None:
    whole, part = capacity(COST, WHOLE), capacity(COST, replace(WHOLE, headroom=0.5))
    assert (part.workers, part.broker_cpu, part.broker_network) == pytest.approx(
        (whole.workers / 2, whole.broker_cpu / 2, whole.broker_network / 2)
    )


def run(workers: int, partitions: int, cpu_s: float, broker_cpu_s: float | None = 4.0) -> dict[str, Any]:
    return {
        "workers": workers,
        "partitions": partitions,
        "records": 2_000_000,
        "cpu_s": cpu_s,
        "broker_cpu_s": broker_cpu_s,
        "changelog_bytes": 30_000_000,
        "output_bytes": 10_000_000,
    }


def test_a_cost_is_that_of_one_worker() -> None:
    runs = [run(1, 8, 10.0), run(1, 8, 12.0), run(1, 8, 11.0), run(1, 1, 99.0), run(2, 8, 99.0)]
    ceilings = [{"consumers": 1, "records": 1_000_000, "broker_cpu_s": 0.5}]
    found = cost_of({"runs": runs, "ceilings": [*ceilings, {"consumers": 2, "records": 1, "broker_cpu_s": 9.0}]})
    assert found == Cost(worker_cpu_s=5.5, read_cpu_s=0.5, written_cpu_s=1.5, read_bytes=48, written_bytes=20)


@pytest.mark.parametrize("runs", [[run(2, 8, 10.0)], [run(1, 8, 10.0, None)]])
def test_without_one_worker_or_a_broker_that_is_seen_there_is_no_cost(runs: list[dict[str, Any]]) -> None:
    with pytest.raises(ValueError, match="a cost needs"):
        cost_of({"runs": runs, "ceilings": [{"consumers": 1, "records": 1, "broker_cpu_s": 0.5}]})
