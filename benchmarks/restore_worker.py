"""An aggregate worker of the shipped topology that ends when all its partitions are restored; prints a line of JSON.

python -m benchmarks.restore_worker
"""

from __future__ import annotations

import json
import resource
import time
from contextlib import ExitStack

from pipeline.log.kafka import connect
from pipeline.runtime.cluster import look_up
from pipeline.runtime.collector import quiet_collector
from pipeline.runtime.crash import nowhere
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.restore import Progress
from pipeline.runtime.start import load_topology, make_tasks
from pipeline.runtime.tasks import Surroundings
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings


class RestoreWatch:
    """Counts what is restored, from the first partition that begins to the last that is done, and stops the worker."""

    def __init__(self, partitions: int) -> None:
        self._left = partitions
        self.worker: Worker | None = None
        self.records = 0
        self.began = self.began_cpu = self.seconds = self.cpu_s = 0.0

    def started(self, partition: int, progress: Progress) -> None:
        if not self.began:
            self.began, self.began_cpu = time.perf_counter(), time.process_time()

    def moved(self, partition: int, progress: Progress) -> None:
        """Only the end counts."""

    def finished(self, partition: int, progress: Progress) -> None:
        self.records += progress.records
        self._left -= 1
        if self._left == 0 and self.worker is not None:
            self.seconds = time.perf_counter() - self.began
            self.cpu_s = time.process_time() - self.began_cpu
            self.worker.stop()


def main() -> None:
    settings = Settings()
    topology = load_topology(settings)
    stage = topology.aggregates[0]
    log = connect(settings)
    with ExitStack() as cleanup:
        admin = log.admin()
        cleanup.callback(admin.close)
        identity = WorkerIdentity.of(settings, stage, None)
        topics = look_up(admin, settings.prefix, stage)
        watch = RestoreWatch(topics.partitions)
        metrics = WorkerMetrics(stage.name)
        around = Surroundings(settings, log, admin, topics, identity.group, watch, nowhere, metrics)
        tasks = make_tasks(around, topology, identity)
        cleanup.callback(tasks.stop)
        watch.worker = Worker(settings, identity, log, tasks, metrics=metrics)
        quiet_collector()
        watch.worker.run()
    figures = {
        "records": watch.records,
        "seconds": watch.seconds,
        "cpu_s": watch.cpu_s,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
