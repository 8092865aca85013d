"""The tasks a worker holds: made when the group assigns a partition, restored beside the loop, closed when it goes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from operators.topology import TransformStage
from pipeline.errors import StateUnusable
from pipeline.log.api import Admin, Log, Source, TopicPartition
from pipeline.runtime.clock import MACHINE_CLOCK, Clock
from pipeline.runtime.cluster import Topics
from pipeline.runtime.crash import CrashHook
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.refusals import RefusalCount
from pipeline.runtime.restorer import POLL_RECORDS, RestoreListener, Restorer
from pipeline.runtime.task import SourceTask, Task, TransformTask
from pipeline.settings import Settings


class TaskSet(Protocol):
    """What the loop asks of a worker's tasks. All calls come from the loop's thread."""

    active: Mapping[int, Task]
    """Tasks that may be fed, by partition; replaced, never changed, so that other threads may look."""

    def start(self, source: Source) -> None: ...
    def follow(self, source: Source) -> None:
        """Another source takes the place of the one before, from which all tasks have been removed."""
        ...

    def add(self, partitions: Sequence[TopicPartition]) -> None: ...
    def remove(self, partitions: Sequence[TopicPartition]) -> None: ...
    def put_out(self) -> None:
        """The group takes this worker for gone: all its tasks have been removed, and none is known to be its own."""
        ...

    def restore_again(self, partitions: Sequence[TopicPartition]) -> None:
        """Active tasks go back to where the last commit ended."""
        ...

    def take_restored(self) -> dict[TopicPartition, int]:
        """Tasks that became active, with where to read; raises what ends the worker, StateLost above all."""
        ...

    def note_passed(self) -> None: ...
    def rebuild(self, partition: int, why: StateUnusable) -> None:
        """Put a store that cannot be trusted in quarantine, and restore its task from nothing."""
        ...

    def stop(self) -> None: ...


@dataclass(frozen=True)
class Surroundings:
    """What tasks of every kind are made with."""

    settings: Settings
    log: Log
    admin: Admin
    topics: Topics
    group: str
    listener: RestoreListener
    reach: CrashHook
    metrics: WorkerMetrics
    restore_beside: bool = True
    """Whether restores and standbys run on threads of their own; else whoever drives the worker calls their `step`."""
    restore_poll_records: int = POLL_RECORDS
    clock: Clock = MACHINE_CLOCK


class Tasks:
    """What both kinds share: the restorer, and who is active."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._source: Source | None = None
        self._restorer: Restorer | None = None
        self.active: Mapping[int, Task] = {}
        self.generation = 0
        """Rises whenever the group changes what is held here."""
        self.assigned = False
        """Whether the group's word stands: it has given one, and has not put this worker out since."""

    def follow(self, source: Source) -> None:
        self._source = source

    def start(self, source: Source) -> None:
        self.follow(source)
        self._restorer = Restorer(
            self._around.admin,
            self._around.log.reader(self._around.group),
            self._around.listener,
            self._around.settings.restore_chunk_bytes,
            self._around.restore_poll_records,
            self._around.clock,
        )
        if self._around.restore_beside:
            self._restorer.start()

    @property
    def restorer(self) -> Restorer:
        assert self._restorer is not None  # noqa: S101 - `start` comes before the first poll, which is what assigns
        return self._restorer

    def _changed(self) -> None:
        self.generation += 1
        self.assigned = True

    def put_out(self) -> None:
        self.assigned = False

    def _refusals(self) -> RefusalCount:
        return RefusalCount(self._around.settings.refusal_run, self._around.settings.refusal_window)

    def _deactivate(self, partition: int) -> Task | None:
        self.restorer.cancel(partition)
        task = self.active.get(partition)
        self.active = {each: held for each, held in self.active.items() if each != partition}
        return task

    def take_restored(self) -> dict[TopicPartition, int]:
        for partition, error in self.restorer.take_failures():
            if not isinstance(error, StateUnusable):
                raise error
            self.rebuild(partition, error)
        starts = {}
        for task, plan in self.restorer.take_finished():
            task.start(plan.source_next, plan.metadata)
            self.active = {**self.active, task.source.partition: task}
            starts[task.source] = plan.source_next
        return starts

    def readable_end(self, partition: int, position: int, last_stable: int) -> int:
        """The end as a reader sees it: commit markers at the tail hold offsets, and no record to fold."""
        task = self.active.get(partition)
        if task is not None and position == task.next_offset and task.passed >= last_stable:
            return position
        return last_stable

    def note_passed(self) -> None:
        """Nothing polled is left unprocessed: note how far the reader is, markers at the tail included."""
        for task in self.active.values():
            task.passed = (self._source and self._source.position(task.source)) or 0

    def rebuild(self, partition: int, why: StateUnusable) -> None:
        """A stateless task has no store to rebuild, so this is an error of another kind."""
        why.data["partition"] = partition
        raise why

    def stop(self) -> None:
        if self._restorer is not None:
            self._restorer.stop()


class StatelessTasks(Tasks):
    """Tasks that keep nothing between two commits: a restore is only to learn where to read."""

    def __init__(self, around: Surroundings, make: Callable[[TopicPartition, RefusalCount], SourceTask]) -> None:
        super().__init__(around)
        self._make = make
        self.held: Mapping[int, SourceTask] = {}
        """Every task here; replaced, never changed."""

    def add(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        tasks = [self._make(each, self._refusals()) for each in partitions]
        self.held = {**self.held, **{task.source.partition: task for task in tasks}}
        self.restorer.add([(task, None) for task in tasks])

    def remove(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        for source in partitions:
            self._deactivate(source.partition)
        gone = {source.partition for source in partitions}
        self.held = {each: held for each, held in self.held.items() if each not in gone}

    def restore_again(self, partitions: Sequence[TopicPartition]) -> None:
        for source in partitions:
            task = self._deactivate(source.partition)
            if isinstance(task, SourceTask):
                self.restorer.add([(task, None)])


def transform_tasks(around: Surroundings, stage: TransformStage) -> StatelessTasks:
    """Tasks of a stateless stage."""
    topic_id, operator = around.topics.source_id, stage.operator
    return StatelessTasks(around, lambda source, refusals: TransformTask(source, topic_id, refusals, operator))
