"""The worker that `statelog worker` runs, which also says when its first records have come.

python -m benchmarks.peers.statelog_worker STAGE
"""

from __future__ import annotations

import sys

from pipeline import service
from pipeline.logging import set_up_logging
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.progress_log import RestoreLog
from pipeline.settings import Settings


class Announcing(WorkerMetrics):
    _announced = False

    def processed(self, records: int) -> None:
        if not self._announced:
            self._announced = True
            print("began", flush=True)
        super().processed(records)


def main(stage: str) -> None:
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    # In its place, so that all the rest is what is shipped: queries, gauges, watches.
    service.WorkerMetrics = Announcing  # type: ignore[attr-defined]
    service.run_worker(settings, stage, RestoreLog())


if __name__ == "__main__":
    main(sys.argv[1])
