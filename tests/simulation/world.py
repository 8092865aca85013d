"""Aggregate workers of the IoT topology on the in-memory log, and their states by several ways."""

from __future__ import annotations

from typing import Any

from operators.iot import topology
from operators.topology import AggregateStage
from pipeline.log.api import TopicPartition
from pipeline.runtime.crash import CrashPoint
from pipeline.testing.process import Process
from pipeline.testing.replay import digest_of, rows_of, rows_of_changelogs, rows_of_source
from pipeline.testing.world import World

TOPOLOGY = topology()
STAGE: AggregateStage = TOPOLOGY.aggregates[0]


class AggregateWorld(World):
    def __init__(self, *, partitions: int = 2, **settings: Any) -> None:
        # Commits by count alone, so that a test knows where they fall.
        super().__init__(
            TOPOLOGY,
            partitions=partitions,
            **{"commit_records": 7, "poll_records": 3, "commit_interval_ms": 3_600_000, "restore_chunk_bytes": 1_000,
               **settings},
        )  # fmt: skip

    def aggregate(self, worker_id: str, *, dies_at: CrashPoint | None = None, machine: str | None = None) -> Process:
        return self.start(STAGE.name, worker_id, dies_at=dies_at, machine=machine)

    def committed(self) -> dict[int, int]:
        """By partition, how much of the source is folded for good."""
        sources = [TopicPartition(STAGE.source, number) for number in range(self.partitions)]
        found = self.admin.group_offsets(STAGE.name, sources)
        return {each.partition: there.next_offset if there else 0 for each, there in found.items()}

    def next_of_store(self, worker_id: str, partition: int) -> int:
        """How much of the source a store includes."""
        with self.disks[STAGE.name, worker_id].look(partition, ()) as view:
            assert view is not None
            return view.position.source_next

    def digest_of_store(self, worker_id: str, partition: int) -> str:
        with self.disks[STAGE.name, worker_id].look(partition, [table.name for table in STAGE.tables]) as view:
            assert view is not None
            return digest_of(rows_of(view, STAGE))

    def digest_of_changelogs(self, partition: int) -> str:
        changelogs = {table.name: self.cluster.records(table.changelog) for table in STAGE.tables}
        return digest_of(rows_of_changelogs(changelogs, partition))

    def digest_of_a_plain_fold(self, partition: int) -> str:
        return digest_of(rows_of_source(self, STAGE, partition))
