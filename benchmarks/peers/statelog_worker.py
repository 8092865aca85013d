"""A worker as `statelog worker` runs it, that says when its first records have come. Stages and settings as there.

python -m benchmarks.peers.statelog_worker STAGE
"""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack

from pipeline.log.kafka import connect
from pipeline.logging import set_up_logging
from pipeline.runtime.cluster import look_up
from pipeline.runtime.collector import quiet_collector
from pipeline.runtime.crash import nowhere
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.progress_log import RestoreLog
from pipeline.runtime.start import load_topology, make_tasks, stage_of
from pipeline.runtime.tasks import Surroundings
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings


class Announcing(WorkerMetrics):
    _announced = False

    def processed(self, records: int, refused: int) -> None:
        if not self._announced:
            self._announced = True
            print("began", flush=True)
        super().processed(records, refused)


def main(name: str) -> None:
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    topology = load_topology(settings)
    stage = stage_of(topology, name)
    log = connect(settings)
    with ExitStack() as cleanup:
        admin = log.admin()
        cleanup.callback(admin.close)
        identity = WorkerIdentity.of(settings, stage, None)
        topics = look_up(admin, settings.prefix, stage)
        around = Surroundings(settings, log, admin, topics, identity.group, RestoreLog(), nowhere)
        tasks = make_tasks(around, topology, identity)
        cleanup.callback(tasks.stop)
        worker = Worker(settings, identity, log, tasks, metrics=Announcing(name))
        signal.signal(signal.SIGTERM, lambda *_: worker.stop())
        quiet_collector()
        worker.run()


if __name__ == "__main__":
    main(sys.argv[1])
