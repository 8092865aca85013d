"""Restores as lines in the log, and as numbers."""

from __future__ import annotations

import time

import structlog

from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.restore import Progress
from pipeline.runtime.restorer import RestoreListener

EVERY_S = 2.0
WORTH_A_LINE = 1_000
"""A restore of fewer changelog records is announced only when it is done."""

logger = structlog.get_logger(__name__)


class RestoreLog:
    """A `RestoreListener` that writes when a restore begins, each two seconds, and when it is done."""

    def __init__(self) -> None:
        self._written_at: dict[int, float] = {}

    def started(self, partition: int, progress: Progress) -> None:
        self._written_at[partition] = time.monotonic()
        if progress.target - progress.start >= WORTH_A_LINE:
            logger.info("restore begins", partition=partition, to_fold=progress.target - progress.start)

    def moved(self, partition: int, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._written_at[partition] < EVERY_S:
            return
        self._written_at[partition] = now
        logger.info(
            "restoring",
            partition=partition,
            done=progress.done,
            of=progress.target - progress.start,
            rate=round(progress.rate),
            eta_s=None if progress.eta_s is None else round(progress.eta_s, 1),
        )

    def finished(self, partition: int, progress: Progress) -> None:
        seconds = time.monotonic() - progress.began
        logger.info("restored", partition=partition, records=progress.records, seconds=round(seconds, 3),
                    rate=round(progress.rate))  # fmt: skip


class CountedRestores:
    """A `RestoreListener` that counts, and passes on what it is told."""

    def __init__(self, listener: RestoreListener, metrics: WorkerMetrics) -> None:
        self._listener = listener
        self._metrics = metrics
        self.started = listener.started
        self.moved = listener.moved

    def finished(self, partition: int, progress: Progress) -> None:
        self._metrics.restored(progress.records, time.monotonic() - progress.began)
        self._listener.finished(partition, progress)
