"""Where a stage's source ends, and how fast its partitions come nearer to that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from pipeline.log.api import TopicPartition
from pipeline.runtime.view import PartitionState, PartitionStatus

RATE_WEIGHT = 0.4
"""Of the newest second in a partition's smoothed rate."""

ReadableEnd = Callable[[int, int, int], int]
"""Of a partition at a position, whose last stable offset is that: the end as a reader sees it."""


class _Gauge:
    """What is known of one partition's end and pace."""

    def __init__(self, position: int) -> None:
        self.end = -1
        self.end_at = 0.0
        self.rate = 0.0
        self._position = position
        self._at = time.monotonic()

    def note(self, position: int, end: int) -> None:
        now = time.monotonic()
        lately = max(position - self._position, 0) / max(now - self._at, 1e-3)
        self.rate += RATE_WEIGHT * (lately - self.rate)
        self._position, self._at = position, now
        self.end, self.end_at = end, now


class SourceEnds:
    """One thread looks; any thread may ask."""

    def __init__(self, readable_end: ReadableEnd) -> None:
        self._readable_end = readable_end
        self._gauges: dict[int, _Gauge] = {}

    def note(self, ends: Mapping[TopicPartition, int], taken: Mapping[int, int]) -> None:
        """`ends` are last stable offsets, `taken` by partition the next offset to take. Others are forgotten."""
        gauges = {}
        for source, end in ends.items():
            position = taken.get(source.partition)
            if position is not None:
                gauges[source.partition] = self._gauges.get(source.partition) or _Gauge(position)
                gauges[source.partition].note(position, end)
        self._gauges = gauges

    def known(self, partition: int) -> tuple[int, float]:
        """The last stable offset and the age of that knowledge; -1 when it is unknown."""
        gauge = self._gauges.get(partition)
        return (-1, 0.0) if gauge is None else (gauge.end, time.monotonic() - gauge.end_at)

    def status(self, partition: int, state: PartitionState, position: int) -> PartitionStatus:
        """A partition that is fed, which has come to `position`."""
        gauge = self._gauges.get(partition)
        if gauge is None or gauge.end < 0:
            return PartitionStatus(partition, state, position, -1, 0.0, 0.0, None)
        end = self._readable_end(partition, position, gauge.end)
        left = max(end - position, 0)
        eta_s = 0.0 if left == 0 else left / gauge.rate if gauge.rate > 1 else None
        return PartitionStatus(partition, state, position, end, time.monotonic() - gauge.end_at, gauge.rate, eta_s)
