"""Real workers, task sets and restores on the in-memory log, driven step by step from one thread."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from operators.api import Record, TaskContext
from operators.iot import topology
from operators.testing import DictTable
from operators.topology import AggregateStage
from pipeline.log.api import TopicPartition
from pipeline.log.memory import MemoryCluster, MemoryLog
from pipeline.partitioning import partition_of
from pipeline.runtime.cluster import look_up
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.progress_log import RestoreLog
from pipeline.runtime.start import make_tasks
from pipeline.runtime.tasks import AggregateTasks, Surroundings
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings
from pipeline.state.digest import digest
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore, MemoryStores
from pipeline.topics import TopicPlan

TOPOLOGY = topology()
STAGE: AggregateStage = TOPOLOGY.aggregates[0]
TABLES = [table.name for table in STAGE.tables]


class Killed(BaseException):
    """What kill -9 is to a process: nothing of it runs any more."""


class SimulatedWorker:
    """A process with one aggregate worker, whose disk outlives it."""

    def __init__(self, cluster: MemoryCluster, settings: Settings, disk: MemoryStores) -> None:
        self.log: MemoryLog = cluster.connect(settings)
        self.reached: list[CrashPoint] = []
        self.dies_at: CrashPoint | None = None
        self.alive = True
        identity = WorkerIdentity.of(settings, STAGE, None)
        admin = self.log.admin()
        around = Surroundings(
            settings,
            self.log,
            admin,
            look_up(admin, settings.prefix, STAGE),
            identity.group,
            RestoreLog(),
            self._reach,
            restore_beside=False,
        )
        tasks = make_tasks(around, TOPOLOGY, identity, disk)
        assert isinstance(tasks, AggregateTasks)
        self.tasks = tasks
        self.worker = Worker(settings, identity, self.log, tasks, metrics=WorkerMetrics(STAGE.name), reach=self._reach)
        self.worker.join()

    def _reach(self, point: CrashPoint, _folded: int = 0, /) -> None:
        self.reached.append(point)
        if point is self.dies_at:
            self.kill()
            raise Killed

    def step(self) -> None:
        """One round of the loop and one step of the restorer; nothing once it is dead."""
        if not self.alive:
            return
        try:
            self.worker.round()
            self.tasks.restorer.step()
        except Killed:
            pass

    def kill(self) -> None:
        self.alive = False
        self.log.freeze()


class World:
    """A cluster with the topics of the IoT topology, its workers and their disks."""

    def __init__(self, *, partitions: int = 2, **settings: Any) -> None:
        self.cluster = MemoryCluster()
        self.partitions = partitions
        # Commits by count alone: the worker's own clock is the machine's.
        self._settings = {"commit_records": 7, "poll_records": 3, "commit_interval_ms": 3_600_000,
                          "restore_chunk_bytes": 1_000, **settings}  # fmt: skip
        self.admin = self.cluster.connect(self.settings("admin")).admin()
        TopicPlan(TOPOLOGY).create(self.admin, partitions, 1)
        self.disks: dict[str, MemoryStores] = {}
        self.workers: list[SimulatedWorker] = []

    def settings(self, worker_id: str) -> Settings:
        return Settings(id=worker_id, data_dir=Path("/nowhere"), **self._settings)

    def start(self, worker_id: str, *, dies_at: CrashPoint | None = None) -> SimulatedWorker:
        disk = self.disks.setdefault(worker_id, MemoryStores())
        worker = SimulatedWorker(self.cluster, self.settings(worker_id), disk)
        worker.dies_at = dies_at
        self.workers.append(worker)
        return worker

    def run(self, steps: int) -> None:
        for _ in range(steps):
            for worker in self.workers:
                worker.step()

    def stop(self) -> None:
        """Stop all that live, in good order: what is folded is committed."""
        for worker in self.workers:
            if worker.alive:
                worker.worker.leave()
                worker.alive = False

    def committed(self) -> dict[int, int]:
        """By partition, how much of the source is folded for good."""
        sources = [TopicPartition(STAGE.source, number) for number in range(self.partitions)]
        found = self.admin.group_offsets(STAGE.name, sources)
        return {each.partition: there.next_offset if there else 0 for each, there in found.items()}

    def store(self, worker_id: str, partition: int) -> MemoryStore:
        return self.disks[worker_id].stores[partition]

    def digest_of_store(self, worker_id: str, partition: int) -> str:
        store = self.store(worker_id, partition)
        store.reopen()
        with store.view() as view:
            return digest(view, TABLES)

    def digest_of_changelogs(self, partition: int) -> str:
        rows: dict[str, dict[bytes, bytes]] = {}
        for table in STAGE.tables:
            folded: dict[bytes, bytes] = {}
            rows[table.name] = folded
            for record in self.cluster.records(table.changelog):
                key, value = record.key(), record.value()
                assert key is not None
                if record.partition() == partition:
                    folded.pop(key, None)
                    if value is not None:
                        folded[key] = value
        return _digest(rows)

    def digest_of_a_plain_fold(self, partition: int) -> str:
        """The source's records through the operator, one after the other, with no log, no commit and no restore."""
        tables: dict[str, DictTable[Any]] = {table.name: DictTable(table.value) for table in STAGE.tables}
        owns = TaskContext(partition, lambda key: partition_of(key, self.partitions) == partition)
        operator = STAGE.operator(dict(tables), owns)
        topic_id = self.admin.topics([STAGE.source])[STAGE.source].topic_id
        for each in self.cluster.records(STAGE.source):
            if each.partition() == partition:
                operator.fold(Record(each.key(), each.value(), each.timestamp()[1], topic_id, partition, each.offset()))
        for table in tables.values():
            table.commit()
        return _digest(
            {name: {key: seal(value) for key, value in table.committed.items()} for name, table in tables.items()}
        )


def _digest(rows: dict[str, dict[bytes, bytes]]) -> str:
    """The digest of a state by its definition."""
    total = hashlib.sha256()
    for table, of_table in sorted(rows.items()):
        for key, value in sorted(of_table.items()):
            for part in (table.encode(), key, value):
                total.update(len(part).to_bytes(4, "big") + part)
    return total.hexdigest()
