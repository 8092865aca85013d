"""What a worker counts. Each metric has its name and meaning here and nowhere else."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

COMMIT_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class WorkerMetrics:
    """The counters of one worker, in a registry of its own."""

    def __init__(self, stage: str) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, meaning: str) -> Counter:
            return Counter(f"statelog_{name}", meaning, ["stage"], registry=self.registry).labels(stage)

        self._records = counter("records", "Records taken from the source, refused ones included")
        self._refusals = counter("refusals", "Records sent to the dead letters")
        self._committed = counter("committed_records", "Records whose commit is done")
        self._aborts = counter("aborts", "Transactions that were aborted or lost")
        self._commits = Histogram(
            "statelog_commit_seconds",
            "From the flush to the store's batch",
            ["stage"],
            buckets=COMMIT_BUCKETS,
            registry=self.registry,
        ).labels(stage)

    def processed(self, records: int, refused: int) -> None:
        self._records.inc(records)
        if refused:
            self._refusals.inc(refused)

    def committed(self, records: int, seconds: float) -> None:
        self._committed.inc(records)
        self._commits.observe(seconds)

    def aborted(self) -> None:
        self._aborts.inc()
