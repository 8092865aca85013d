"""What a cluster carries on paper, from what an event was measured to cost, in the aggregate stage as it ships.

Each resource gives a limit in events a second; the least of them is what the cluster carries, and names what bounds it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

MILLION: Final = 1_000_000
READING_BYTES: Final = 48
"""Of a reading in its topic, compressed: `docs/operating.md`, sizing."""


@dataclass(frozen=True)
class Cost:
    """Of an event."""

    worker_cpu_s: float
    """CPU-seconds a million events, of a worker."""
    read_cpu_s: float
    """CPU-seconds a million events, of a broker, for the readings that it hands out."""
    written_cpu_s: float
    """The same for all that a worker sends: changelogs, outputs, transactions. By one broker, without replicas."""
    read_bytes: float
    """An event, from a broker to a worker."""
    written_bytes: float
    """An event, from a worker to a broker: changelogs and outputs, compressed."""


@dataclass(frozen=True)
class Cluster:
    brokers: int
    workers: int
    """Each with a core of its own: its loop is one thread."""
    broker_cores: int = 2
    """Of each broker."""
    replication: int = 3
    network_mb_s: float = 125.0
    """Of each broker, each way; 125 is a gigabit."""
    headroom: float = 0.6
    """How much of a core or a network is planned for: the rest is for restores, compaction, uneven partitions."""


@dataclass(frozen=True)
class Capacity:
    """Events a second that each resource carries."""

    workers: float
    broker_cpu: float
    broker_network: float

    @property
    def events_s(self) -> float:
        return min(self.workers, self.broker_cpu, self.broker_network)

    @property
    def bound_by(self) -> str:
        named = {"workers": self.workers, "brokers' CPU": self.broker_cpu, "brokers' network": self.broker_network}
        return min(named, key=lambda name: named[name])


def capacity(cost: Cost, cluster: Cluster) -> Capacity:
    """Load is taken to be even over workers and brokers, and a replica to cost a broker as much as the original."""
    copies = min(cluster.replication, cluster.brokers)
    broker_cpu_s = cost.read_cpu_s + cost.written_cpu_s * copies
    # Out go what workers read and what followers fetch; in come the originals and the copies.
    out_bytes = cost.read_bytes + cost.written_bytes * (copies - 1)
    in_bytes = cost.written_bytes * copies
    return Capacity(
        workers=cluster.workers * cluster.headroom * MILLION / cost.worker_cpu_s,
        broker_cpu=cluster.brokers * cluster.broker_cores * cluster.headroom * MILLION / broker_cpu_s,
        broker_network=cluster.brokers * cluster.headroom * cluster.network_mb_s * MILLION / max(out_bytes, in_bytes),
    )


def cost_of(report: Mapping[str, Any]) -> Cost:
    """Of a run of `benchmarks.scale`: the medians of one worker, with as many partitions as had the most of its runs.

    ValueError where the broker could not be seen, or where no run had one worker.
    """
    runs = _least_workers(report["runs"])
    readers = [each for each in report["ceilings"] if each["consumers"] == 1]
    if not runs or not readers or any(each["broker_cpu_s"] is None for each in [*runs, *readers]):
        raise ValueError("a cost needs runs of one worker, one consumer that only counts, and a broker that is seen")
    read = median(_per_million(each, "broker_cpu_s") for each in readers)
    whole = median(_per_million(each, "broker_cpu_s") for each in runs)
    return Cost(
        worker_cpu_s=median(_per_million(each, "cpu_s") for each in runs),
        read_cpu_s=read,
        written_cpu_s=max(whole - read, 0.0),
        read_bytes=READING_BYTES,
        written_bytes=median((each["changelog_bytes"] + each["output_bytes"]) / each["records"] for each in runs),
    )


def _least_workers(runs: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    alone = [each for each in runs if each["workers"] == 1]
    counts = [each["partitions"] for each in alone]
    return [each for each in alone if each["partitions"] == max(set(counts), key=lambda one: (counts.count(one), one))]


def _per_million(run: Mapping[str, Any], figure: str) -> float:
    return float(run[figure] / run["records"] * MILLION)
