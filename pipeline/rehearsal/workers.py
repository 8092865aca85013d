"""All workers of a rehearsal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.client import PartitionRow
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.telling import Telling
from pipeline.rehearsal.worker_process import AGGREGATE, TRANSFORM, WorkerProcess

IDS = {stage: (f"{stage}-0", f"{stage}-1") for stage in (TRANSFORM, AGGREGATE)}
"""By stage."""


class Workers:
    """All of them, by id."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._visitors: list[WorkerProcess] = []
        self.by_id = {
            worker_id: WorkerProcess(stage, worker_id, ground.directory, ground.settings, keeps_seat=True)
            for stage, ids in IDS.items()
            for worker_id in ids
        }

    def start(self) -> None:
        for worker in self.by_id.values():
            worker.start()

    def introduce(self, rows: Sequence[PartitionRow], telling: Telling) -> None:
        """Tell who they are and what they hold."""
        telling.drop_bars()
        for worker in self.by_id.values():
            held = partitions_of(rows, worker.id)
            telling.detail(f"{worker.id:<12} pid {worker.pid:>7}" + (f"   partitions {held}" if held else ""),
                           worker=worker.id, pid=worker.pid, partitions=held)  # fmt: skip

    def visit(self, stage: str) -> WorkerProcess:
        """Start one more, which has no seat of its own; it ends with the others at the latest."""
        name = f"visitor-{len(self._visitors) + 1}"
        visitor = WorkerProcess(stage, name, self._ground.directory, self._ground.settings, keeps_seat=False)
        self._visitors.append(visitor)
        visitor.start()
        return visitor

    @property
    def all(self) -> list[WorkerProcess]:
        return [*self.by_id.values(), *self._visitors]

    @property
    def aggregates(self) -> list[WorkerProcess]:
        return [self.by_id[each] for each in IDS["aggregate"]]

    def require_alive(self) -> None:
        """Raises PipelineError when one has ended by itself."""
        for worker in self.by_id.values():
            worker.require_alive()

    def drain(self) -> list[int]:
        """Their exit codes."""
        return [worker.drain() for worker in self.by_id.values()]

    def kill(self) -> None:
        for worker in self.all:
            worker.kill()


def partitions_of(rows: Iterable[PartitionRow], worker_id: str) -> list[int]:
    return [row.partition for row in rows if row.owner == worker_id]


@contextmanager
def workers_on(ground: Ground, telling: Telling) -> Iterator[Workers]:
    """Workers that end with the block, however it ends; when that is by an error, their logs' ends are told."""
    workers = Workers(ground)
    try:
        workers.start()
        yield workers
    except Exception:
        for worker in workers.all:
            telling.log_tail(worker.id, worker.log_tail())
        raise
    finally:
        workers.kill()
