"""One stage over one topic that is already full, in a process of its own; prints a line of JSON.

    python -m benchmarks.stage_run STAGE|ceiling|restore TOPIC_RECORDS

STAGE is a stage of the topology of STATELOG_TOPOLOGY. `ceiling` consumes and counts the aggregate's source, and does
nothing else: what a Python process can be fed at most. `restore` starts the aggregate without a disk, and stops it when
every partition is active; it counts changelog records.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack

from operators.topology import Topology
from pipeline.log.api import TopicPartition
from pipeline.log.kafka import connect
from pipeline.runtime.cluster import look_up
from pipeline.runtime.collector import quiet_collector
from pipeline.runtime.crash import nowhere
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.progress_log import RestoreLog
from pipeline.runtime.restore import Progress
from pipeline.runtime.start import load_topology, make_tasks, stage_of
from pipeline.runtime.tasks import Surroundings
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings


class Stopwatch(WorkerMetrics):
    """Runs from the first record taken to the commit that makes them all."""

    def __init__(self, stage: str, expected: int) -> None:
        super().__init__(stage)
        self._expected = expected
        self._done = 0
        self.worker: Worker | None = None
        self.began = self.began_cpu = self.seconds = self.cpu_seconds = 0.0

    def processed(self, records: int) -> None:
        if not self.began:
            self.began, self.began_cpu = time.perf_counter(), time.process_time()
        super().processed(records)

    def committed(self, records: int, seconds: float, refused: Mapping[str, int]) -> None:
        super().committed(records, seconds, refused)
        self._done += records
        if self._done >= self._expected and self.worker is not None:
            self.seconds = time.perf_counter() - self.began
            self.cpu_seconds = time.process_time() - self.began_cpu
            self.worker.stop()


class RestoreWatch:
    """Counts what is restored, from the first partition that begins to the last that is done, and stops the worker."""

    def __init__(self, partitions: int, watch: Stopwatch) -> None:
        self._left = partitions
        self._watch = watch
        self.records = 0

    def started(self, partition: int, progress: Progress) -> None:
        if not self._watch.began:
            self._watch.began, self._watch.began_cpu = time.perf_counter(), time.process_time()

    def moved(self, partition: int, progress: Progress) -> None:
        """Only the end counts."""

    def finished(self, partition: int, progress: Progress) -> None:
        self.records += progress.records
        self._left -= 1
        if self._left == 0 and self._watch.worker is not None:
            self._watch.seconds = time.perf_counter() - self._watch.began
            self._watch.cpu_seconds = time.process_time() - self._watch.began_cpu
            self._watch.worker.stop()


def run_stage(settings: Settings, topology: Topology, name: str, expected: int) -> dict[str, float]:
    """`expected` source records; 0 of them ends the run when everything is restored."""
    stage = stage_of(topology, name)
    log = connect(settings)
    watch = Stopwatch(name, expected)
    with ExitStack() as cleanup:
        admin = log.admin()
        cleanup.callback(admin.close)
        identity = WorkerIdentity.of(settings, stage, None)
        topics = look_up(admin, settings.prefix, stage)
        restored = RestoreWatch(topics.partitions, watch)
        listener = RestoreLog() if expected else restored
        around = Surroundings(settings, log, admin, topics, identity.group, listener, nowhere, watch)
        tasks = make_tasks(around, topology, identity)
        cleanup.callback(tasks.stop)
        watch.worker = Worker(settings, identity, log, tasks, metrics=watch)
        watch.worker.run()
    return {"records": expected or restored.records, "seconds": watch.seconds, "cpu_seconds": watch.cpu_seconds}


def run_ceiling(settings: Settings, topology: Topology, expected: int) -> dict[str, float]:
    topic = settings.prefix + topology.aggregates[0].source
    log = connect(settings)
    admin, reader = log.admin(), log.reader()
    partitions = [TopicPartition(topic, each) for each in range(admin.topics([topic])[topic].partitions)]
    reader.assign(dict.fromkeys(partitions, 0))
    seen, began, began_cpu = 0, 0.0, 0.0
    while seen < expected:
        messages = reader.poll(20_000, 0.1)
        if messages and not began:
            began, began_cpu = time.perf_counter(), time.process_time()
        for message in messages:
            message.key()
            message.value()
            message.partition()
            message.offset()
        seen += len(messages)
    figures = {
        "records": seen,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - began_cpu,
    }
    reader.close()
    admin.close()
    return figures


def main() -> None:
    name, expected = sys.argv[1], int(sys.argv[2])
    quiet_collector()
    settings = Settings()
    topology = load_topology(settings)
    if name == "ceiling":
        run = run_ceiling(settings, topology, expected)
    elif name == "restore":
        run = run_stage(settings, topology, topology.aggregates[0].name, 0)
    else:
        run = run_stage(settings, topology, name, expected)
    run["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(run))


if __name__ == "__main__":
    main()
