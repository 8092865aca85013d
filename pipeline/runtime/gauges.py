"""What a worker shows of itself at each scrape: positions, sizes, ages. Between two scrapes it costs nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from pipeline.runtime.catalogue import Metric
from pipeline.runtime.view import HealthView, PartitionState, PartitionStatus, Pulse, StandbyLag
from pipeline.state.api import StoreSize

Samples = Iterable[tuple[Sequence[str], float]]
"""The values of a metric's own labels, each with the number."""


class Measured(HealthView, Protocol):
    """A worker as it is measured; every method may be called from any thread."""

    @property
    def worker_id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def quarantined(self) -> int: ...
    def pulse(self) -> Pulse: ...
    def partitions(self) -> list[PartitionStatus]: ...
    def store_sizes(self) -> Mapping[int, StoreSize]: ...
    def standby_lags(self) -> Mapping[int, StandbyLag]: ...


class WorkerGauges(Collector):
    """The gauges of one worker, for a registry."""

    def __init__(self, stage: str, view: Measured, source_partitions: int, version: str) -> None:
        self._stage = stage
        self._view = view
        self._source_partitions = source_partitions
        self._version = version

    def collect(self) -> Iterator[GaugeMetricFamily]:
        view = self._view
        statuses, sizes, pulse = view.partitions(), view.store_sizes(), view.pulse()
        standbys = view.standby_lags()
        fed = [each for each in statuses if each.state is not PartitionState.RESTORING and each.end >= 0]
        states = [each.state for each in statuses]
        found: dict[Metric, Samples] = {
            Metric.LAG_RECORDS: [(_of(each), each.end - each.position) for each in fed],
            Metric.LAG_SECONDS: [(_of(each), _seconds(each)) for each in fed],
            Metric.LAG_AGE: [(_of(each), each.end_age_s) for each in fed],
            Metric.STORE_BYTES: [((str(partition),), size.disk_bytes) for partition, size in sizes.items()],
            Metric.STORE_KEYS: [
                ((str(partition), table), count)
                for partition, size in sizes.items()
                for table, count in size.keys.items()
            ],
            Metric.QUARANTINED: [((), view.quarantined)],
            Metric.PARTITIONS: [((state.value,), states.count(state)) for state in PartitionState],
            Metric.SOURCE_PARTITIONS: [((), self._source_partitions)],
            Metric.RESTORE_DEBT: [
                (_of(each), _seconds(each) if each.state is PartitionState.RESTORING else 0.0) for each in statuses
            ],
            Metric.RESTORE_LEFT: [
                (_of(each), max(each.end - each.position, 0))
                for each in statuses
                if each.state is PartitionState.RESTORING and each.end >= 0
            ],
            Metric.STANDBY_LAG: [
                ((str(partition),), lag.records) for partition, lag in standbys.items() if lag.records is not None
            ],
            Metric.STANDBY_LAG_SECONDS: [((str(partition),), lag.age_s) for partition, lag in standbys.items()],
            Metric.STUCK: [((), pulse.stuck)],
            Metric.LOOP_AGE: [((), pulse.loop_age_s)],
            Metric.CONFIRMED_AGE: [] if pulse.confirmed_age_s is None else [((), pulse.confirmed_age_s)],
            Metric.READY: [((), view.ready()[0])],
            Metric.INFO: [((view.worker_id, view.group, self._version), 1)],
        }
        for metric, samples in found.items():
            name, _, meaning, labels, _ = metric.value
            family = GaugeMetricFamily(name, meaning, labels=["stage", *labels])
            for values, number in samples:
                family.add_metric([self._stage, *values], number)
            yield family


def _of(status: PartitionStatus) -> tuple[str]:
    return (str(status.partition),)


def _seconds(status: PartitionStatus) -> float:
    """To the end: what stands still never comes there."""
    return math.inf if status.eta_s is None else status.eta_s
