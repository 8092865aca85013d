"""Partitions that have work and make no progress, and where the threads stand meanwhile."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable

import structlog

from pipeline.runtime.view import PartitionState, PartitionStatus

KNOWN_LATELY_S = 10.0
"""An end that is older says nothing: a cluster that does not answer is another fault, with another name."""
INNERMOST = 12
"""Frames of a thread that are shown."""
MOST_THREADS = 32

logger = structlog.get_logger(__name__)


class StuckWatch:
    """Looks at a worker's partitions again and again; any thread may ask what it saw."""

    def __init__(self, after_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        """`after_s`: how long a partition may stand still with work before it; 0 for ever."""
        self._after_s = after_s
        self._clock = clock
        self._since: dict[int, tuple[PartitionState, int, float]] = {}
        """By partition, where it is and since when; of those that have work."""
        self.why = ""
        """What stands still; empty while nothing does."""
        self.stuck = 0
        """How many partitions do."""

    def look(self, statuses: Iterable[PartitionStatus]) -> None:
        now = self._clock()
        before, self._since = self._since, {}
        stuck: list[tuple[PartitionStatus, float]] = []
        for status in statuses:
            if not _has_work(status):
                continue
            # A loop that stands still turns `active` into `stale`, which is no progress.
            kind = PartitionState.RESTORING if status.state is PartitionState.RESTORING else PartitionState.ACTIVE
            was = before.get(status.partition)
            moved = was is None or was[:2] != (kind, status.position)
            since = now if was is None or moved else was[2]
            self._since[status.partition] = (kind, status.position, since)
            if self._after_s and now - since >= self._after_s:
                stuck.append((status, now - since))
        self._tell(stuck)

    def _tell(self, stuck: list[tuple[PartitionStatus, float]]) -> None:
        was = self.why
        self.stuck = len(stuck)
        self.why = "; ".join(_line(status, stands_s) for status, stands_s in stuck)
        if self.why and not was:
            logger.error("no progress", why=self.why, threads=where_threads_stand())
        elif was and not self.why:
            logger.info("progress again")


def _has_work(status: PartitionStatus) -> bool:
    if status.state is PartitionState.RESTORING:
        return True  # also before it knows its end: what it waits for may never come
    return status.end > status.position and status.end_age_s < KNOWN_LATELY_S


def _line(status: PartitionStatus, stands_s: float) -> str:
    left = f"with {status.end - status.position} records to go" if status.end >= 0 else "of unknown length"
    doing = "the restore of partition" if status.state is PartitionState.RESTORING else "partition"
    return f"{doing} {status.partition} has stood at {status.position} for {stands_s:.0f} s, {left}"


def where_threads_stand() -> dict[str, list[str]]:
    """By thread, its innermost frames, the outermost of them first; bounded, for one line of a log."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    stands = {}
    for ident, frame in list(sys._current_frames().items())[:MOST_THREADS]:
        frames = traceback.extract_stack(frame)[-INNERMOST:]
        stands[f"{names.get(ident, 'unknown')} ({ident})"] = [
            f"{each.filename}:{each.lineno} {each.name}" for each in frames
        ]
    return stands
