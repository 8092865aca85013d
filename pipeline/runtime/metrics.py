"""What the loop of a worker counts: once a batch or once a commit, never once a record."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from pipeline.runtime.catalogue import Metric

AbortCause = Literal["aborted", "fenced", "unknown-outcome"]
ABORT_CAUSES: tuple[AbortCause, ...] = ("aborted", "fenced", "unknown-outcome")

MOST_REASONS = 100
OTHER_REASONS = "other"
"""An operator that makes its reasons up from what devices send would else fill a Prometheus with series."""
TIMED_ONE_OF = 64
"""Looks into the store: to time one costs a tenth of it."""


class TableReads:
    """Where one table's rows were found, over all partitions of a worker. The loop's thread counts."""

    __slots__ = ("_observe", "cached", "loaded")

    def __init__(self, observe: Callable[[float], None]) -> None:
        """`observe` takes the seconds of a look into the store."""
        self._observe = observe
        self.cached = 0
        self.loaded = 0

    def timed(self, get: Callable[[str, bytes], bytes | None], table: str, key: bytes) -> bytes | None:
        """A look into the store that is timed."""
        began = time.perf_counter()
        found = get(table, key)
        self._observe(time.perf_counter() - began)
        return found


class WorkerMetrics:
    """The counters of one worker, in a registry of its own, which others may add to."""

    def __init__(self, stage: str) -> None:
        # Of the client's own accord there would be a second series beside each counter, with its birthday.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.stage = stage
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._records = self._counter(Metric.RECORDS).labels(stage)
        self._committed = self._counter(Metric.COMMITTED).labels(stage)
        self._refusals = self._counter(Metric.REFUSALS).labels(stage)
        self._dead_letters = self._counter(Metric.DEAD_LETTERS)
        self._reasons: set[str] = set()
        aborts = self._counter(Metric.ABORTS)
        # Each from zero on: what appears at one is no increase to Prometheus.
        self._aborts = {cause: aborts.labels(stage, cause) for cause in ABORT_CAUSES}
        self._commit_seconds = self._histogram(Metric.COMMIT_SECONDS)
        self._get_seconds = self._histogram(Metric.STORE_GET_SECONDS)
        self._put_seconds = self._histogram(Metric.STORE_PUT_SECONDS)
        self._problems = self._counter(Metric.HTTP_PROBLEMS)
        self._restored = self._counter(Metric.RESTORED).labels(stage)
        self._restore_seconds = self._histogram(Metric.RESTORE_SECONDS)
        self._reads: dict[str, TableReads] = {}
        self._differs: dict[int, bool] = {}
        self.registry.register(_AtScrape(self._at_scrape))

    def _counter(self, metric: Metric) -> Counter:
        name, _, meaning, labels, _ = metric.value
        return Counter(name, meaning, ["stage", *labels], registry=self.registry)

    def _histogram(self, metric: Metric) -> Histogram:
        name, _, meaning, labels, buckets = metric.value
        return Histogram(name, meaning, ["stage", *labels], buckets=buckets, registry=self.registry).labels(self.stage)

    # Of the loop's thread

    def processed(self, records: int) -> None:
        """Records of an open transaction."""
        self._records.inc(records)

    def committed(self, records: int, seconds: float, refused: Mapping[str, int]) -> None:
        """A transaction is done; `refused`: by reason, how many records of it went to the dead letters."""
        self._committed.inc(records)
        self._commit_seconds.observe(seconds)
        for reason, count in refused.items():
            self._refusals.inc(count)
            self._dead_letters.labels(self.stage, self._bounded(reason)).inc(count)

    def _bounded(self, reason: str) -> str:
        if reason not in self._reasons and len(self._reasons) >= MOST_REASONS:
            return OTHER_REASONS
        self._reasons.add(reason)
        return reason

    def aborted(self, cause: AbortCause) -> None:
        self._aborts[cause].inc()

    def put(self, seconds: float) -> None:
        """A partition's store has taken its part of a commit."""
        self._put_seconds.observe(seconds)

    def reads(self, table: str) -> TableReads:
        """What the tables of this name, one a partition, count in."""
        if table not in self._reads:
            self._reads[table] = TableReads(self._get_seconds.observe)
        return self._reads[table]

    # Of other threads

    def restored(self, records: int, seconds: float) -> None:
        """A partition has been restored."""
        self._restored.inc(records)
        self._restore_seconds.observe(seconds)

    def told(self, status: int, problem: str, times: int = 1) -> None:
        """So many requests were answered with that kind of problem."""
        self._problems.labels(self.stage, str(status), problem).inc(times)

    def verified(self, partition: int, *, differs: bool) -> None:
        self._differs = {**self._differs, partition: differs}

    def _at_scrape(self) -> Iterable[Family]:
        name, _, meaning, labels, _ = Metric.ROW_READS.value
        found = CounterMetricFamily(name, meaning, labels=["stage", *labels])
        for table, reads in list(self._reads.items()):
            found.add_metric([self.stage, table, "cache"], reads.cached)
            found.add_metric([self.stage, table, "store"], reads.loaded)
        yield found
        name, _, meaning, labels, _ = Metric.VERIFY_DIFFERS.value
        verdicts = GaugeMetricFamily(name, meaning, labels=["stage", *labels])
        for partition, differs in self._differs.items():
            verdicts.add_metric([self.stage, str(partition)], differs)
        yield verdicts


class _AtScrape(Collector):
    """What is read only when somebody asks."""

    def __init__(self, collect: Callable[[], Iterable[Family]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Family]:
        return self._collect()
