"""How much lies on disks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.rehearsal.ground import PARTITIONS, Cluster, Ground


def directory_bytes(directory: Path) -> int:
    """Of all files below it; they may come and go meanwhile."""
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


def topic_bytes(cluster: Cluster, ground: Ground, topics: Iterable[str]) -> int | None:
    """Of their segments, as compressed as they were sent; None on somebody else's cluster, whose disks are not seen."""
    if cluster.broker is None:
        return None
    return sum(
        segment.stat().st_size
        for topic in topics
        for number in range(PARTITIONS)
        for directory in cluster.broker.data_dir.rglob(f"{ground.full(topic)}-{number}")
        for segment in directory.glob("*.log")
    )
