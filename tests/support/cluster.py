"""A pipeline of a test's own on the session's Kafka: topics, worker processes, what they wrote, what they hold.

with Cluster(kafka.bootstrap_servers, prefix, tmp_path) as cluster:
    worker = cluster.start("aggregate", "a0")
    ...
    cluster.drain()
    assert cluster.table("device-state") == …
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from operators.topology import AggregateStage, Stage
from pipeline.client import Client
from pipeline.client_id import parse_client_id
from pipeline.log.admin import KafkaAdmin
from pipeline.log.api import TopicPartition
from pipeline.log.feed import Feed
from pipeline.query.asking import Unavailable
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.identity import application_of, group_of
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.topics import TopicPlan
from tests.support.records import StoredRecord, committed_records
from tests.support.waiting import PATIENCE_S, eventually
from tests.support.worker_process import STATELOG, WorkerProcess

IOT = "operators.iot:topology"
UNNAMED = "unnamed~0"
"""Where the only worker without an id keeps its stores."""


class Cluster:
    """Close it, or use it in a `with`: that ends its workers, each by its own process."""

    def __init__(
        self,
        bootstrap_servers: str,
        prefix: str,
        directory: Path,
        *,
        partitions: int = 4,
        topology: str = IOT,
        **settings: Any,
    ) -> None:
        """`settings` hold for every worker, beside these."""
        self.settings = Settings(bootstrap_servers=bootstrap_servers, prefix=prefix, topology=topology, **settings)
        self.topology = load_topology(self.settings)
        self.partitions = partitions
        self.admin = KafkaAdmin(self.settings, timeout_s=PATIENCE_S)
        self.workers: list[WorkerProcess] = []
        directory.mkdir(exist_ok=True)
        self._directory = directory
        self._bootstrap_servers = bootstrap_servers
        self._environment = as_environment(
            {"bootstrap_servers": bootstrap_servers, "prefix": prefix, "topology": topology, **settings}
        )
        self._runs = count(1)
        TopicPlan(self.topology, prefix).create(self.admin, partitions)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        for worker in self.workers:
            worker.close()
        self.admin.close()

    # Processes and their disks

    def start(
        self,
        stage: str,
        worker_id: str | None,
        *,
        crash_at: CrashPoint | None = None,
        ahead_ms: int = 0,
        user: Mapping[str, Any] | None = None,
        **options: str,
    ) -> WorkerProcess:
        """Start a worker; without an id its membership is dynamic. `crash_at`: it kills itself there. `ahead_ms`: its
        clock is wrong by so much. `user`: settings that say as whom it comes to the cluster.
        """
        given = {"data_dir": str(self.data_dir), **options} | ({"id": worker_id} if worker_id else {})
        extra = {"STATELOG_CRASH_AT": f"{crash_at.name}:1"} if crash_at is not None else {}
        extra |= as_environment(user or {})
        log = self._directory / f"{next(self._runs):03d}-{worker_id or stage}.log"
        worker = WorkerProcess(stage, given, {**self._environment, **extra}, log, ahead_ms)
        self.workers.append(worker)
        return worker

    def command(
        self, *arguments: str, data_dir: Path | None = None, user: Mapping[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A `statelog` command for this pipeline, to its end; `user` as with `start`."""
        own = {**self._environment, "STATELOG_DATA_DIR": str(data_dir or self.data_dir), **as_environment(user or {})}
        return subprocess.run(
            [*STATELOG, *arguments],
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        """Stop every worker that runs, in good order."""
        running = [worker for worker in self.workers if worker.alive]
        for worker in running:
            worker.stop()

    @property
    def data_dir(self) -> Path:
        return self._directory / "data"

    def disk(self, stage: str, worker_id: str) -> Path:
        """Where a worker keeps its stores."""
        return self.data_dir / application_of(self.settings.prefix, self.topology, self._stage(stage)) / worker_id

    def lose_disk(self, stage: str, worker_id: str) -> None:
        shutil.rmtree(self.disk(stage, worker_id))

    # Topics and groups

    def full(self, topic: str) -> str:
        return self.settings.prefix + topic

    def send(self, topic: str, messages: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Put records into a topic; they are in the log when this returns."""
        feed = Feed(self.settings, self.full(topic))
        feed.send(messages)
        feed.flush()
        feed.close()

    def records(self, topic: str) -> list[StoredRecord]:
        """All that is committed in a topic to which nobody is writing."""
        return committed_records(self._bootstrap_servers, self.admin, self.full(topic))

    def each_partition(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(self.full(topic), number) for number in range(self.partitions)]

    def committed(self, stage: str) -> dict[int, int]:
        """By partition, the next source offset that the stage's group has committed; 0 for none."""
        found = self.admin.group_offsets(self.group(stage), self.each_partition(self._stage(stage).source))
        return {each.partition: 0 if there is None else there.next_offset for each, there in found.items()}

    def group(self, stage: str) -> str:
        return group_of(self.settings.prefix, self._stage(stage))

    def _stage(self, name: str) -> Stage:
        return self.topology.stage(name)

    # What the workers say

    def client(self) -> Client:
        return Client.connect(self.settings, self.topology, patience_s=PATIENCE_S)

    def addresses(self, stage: str) -> dict[str, str]:
        """By worker, where it serves HTTP, as the group knows."""
        found = [parse_client_id(member.client_id) for member in self.admin.members(self.group(stage))]
        return {worker.worker_id: worker.address for worker in found if worker is not None and worker.address}

    def active(self, stage: str) -> dict[int, int]:
        """By partition, the position of those that some worker serves."""
        with Client.connect(self.settings, self.topology, patience_s=0) as client:
            try:
                rows = client.status(stage)
            except Unavailable:
                return {}
        return {row.partition: row.position for row in rows if row.state == "active" and row.position is not None}

    def wait_until_active(self, stage: str) -> None:
        eventually(lambda: len(self.active(stage)) == self.partitions, f"every partition of {stage} is active")

    def wait_until_shared(self, stage: str, *worker_ids: str) -> None:
        """Wait until each of these workers has partitions, and every partition is active.

        From then on none moves by itself. Not so while one is still to join: all may be active on the others.
        """
        wanted = {(worker_id, "active") for worker_id in worker_ids}

        def shared() -> bool:
            with Client.connect(self.settings, self.topology, patience_s=0) as client:
                try:
                    return {(row.owner, row.state) for row in client.status(stage)} == wanted
                except Unavailable:
                    return False

        eventually(shared, f"{', '.join(worker_ids)} share the partitions of {stage}")

    def drain(self) -> None:
        """Wait until every stage has taken, committed and stored all of its source. Input must have stopped."""
        for stage in self.topology.stages:
            ends: dict[int, int] = defaultdict(int)
            for record in self.records(stage.source):
                ends[record.partition] = record.offset + 1
            progress = self.active if isinstance(stage, AggregateStage) else self.committed
            eventually(
                lambda name=stage.name, done=progress, ends=ends: _reached(done(name), ends),  # type: ignore[misc]
                f"{stage.name} has come to {dict(ends)}",
            )

    def rows(self, table: str, *, view: str | None = None) -> list[tuple[str, Any]]:
        """A whole table over HTTP, page by page."""
        with self.client() as client:
            return [(item.key, item.value) for item in client.scan(table, view=view)]


def as_environment(settings: Mapping[str, Any]) -> dict[str, str]:
    return {f"STATELOG_{name.upper()}": str(value) for name, value in settings.items()}


def _reached(positions: dict[int, int], ends: dict[int, int]) -> bool:
    return all(positions.get(partition, -1) >= end for partition, end in ends.items())
