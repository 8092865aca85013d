"""The worker that `statelog worker` runs, which also says when its first records have come, and what it has restored.

python -m benchmarks.large.worker
"""

from __future__ import annotations

import time

from benchmarks.peers.statelog_worker import Announcing
from pipeline import service
from pipeline.logging import set_up_logging
from pipeline.runtime.restore import Progress
from pipeline.settings import Settings


class Restores:
    """A line a partition: how many changelog records, and from when to when, on the machine's monotonic clock."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}

    def started(self, partition: int, progress: Progress) -> None:
        self._began[partition] = time.monotonic()

    def moved(self, partition: int, progress: Progress) -> None:
        """Only the end counts."""

    def finished(self, partition: int, progress: Progress) -> None:
        print("restored", progress.records, self._began[partition], time.monotonic(), flush=True)


def main() -> None:
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    service.WorkerMetrics = Announcing  # type: ignore[attr-defined]
    service.run_worker(settings, "aggregate", Restores())


if __name__ == "__main__":
    main()
