"""A worker that must not start: it ends with an exit code and a line, and writes nothing."""

from __future__ import annotations

from pathlib import Path

from pipeline.errors import ExitCode
from pipeline.log.api import TopicPartition
from tests.support.cluster import Cluster
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess


def assert_state_lost(cluster: Cluster, stage: str = "aggregate") -> WorkerProcess:
    """It stops with exit 1 and names the command that folds the source again."""
    worker = assert_stops(cluster, ExitCode.FAILURE, stage)
    assert "rebuild --from-source" in worker.text()
    return worker


def assert_stops(cluster: Cluster, exit_code: int, stage: str = "aggregate", worker_id: str | None = None,
                 data_dir: Path | None = None) -> WorkerProcess:  # fmt: skip
    """No topic is written to, and no offset committed."""
    before = _ends(cluster), cluster.committed(stage)
    worker = cluster.start(stage, worker_id, data_dir=str(data_dir or cluster.data_dir))
    assert worker.wait() == exit_code, worker.text()
    assert "Traceback" not in worker.text()
    assert "hint:" in worker.text()
    assert (_ends(cluster), cluster.committed(stage)) == before, "it was written to"
    return worker


def _ends(cluster: Cluster) -> dict[str, list[int]]:
    """Of a topic each, with the markers of all that was committed before: the last may still be on their way."""
    topics = cluster.topology.topics
    found = cluster.admin.topics([cluster.full(topic) for topic in topics])
    return {topic: _settled(cluster, topic) for topic in topics if cluster.full(topic) in found}


def _settled(cluster: Cluster, topic: str) -> list[int]:
    partitions = cluster.each_partition(topic)
    ends: dict[TopicPartition, int] = {}

    def settled() -> bool:
        ends.update(cluster.admin.high_watermarks(partitions))
        return cluster.admin.last_stable(partitions) == ends

    eventually(settled, f"no transaction is open in {topic}")
    return list(ends.values())
