"""The tasks a worker holds: made when the group assigns a partition, restored beside the loop, closed when it goes."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec
import structlog

from operators.topology import AggregateStage, TransformStage
from pipeline.errors import StateForeign, StateLost, StateUnusable
from pipeline.log.api import Admin, Log, Source, TopicPartition
from pipeline.partitioning import partition_of
from pipeline.runtime.clock import MACHINE_CLOCK, Clock
from pipeline.runtime.cluster import Topics, partitions_changed
from pipeline.runtime.crash import CrashHook
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.refusals import RefusalCount
from pipeline.runtime.restore import REBUILD_HINT, Restoration
from pipeline.runtime.restorer import POLL_RECORDS, RestoreListener, Restorer
from pipeline.runtime.task import AggregateTask, Task, TransformTask
from pipeline.settings import Settings
from pipeline.state.api import Store, StoreIdentity, Stores

logger = structlog.get_logger(__name__)


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
    """Whether restores run on a thread of their own; else whoever drives the worker calls `restorer.step`."""
    restore_poll_records: int = POLL_RECORDS
    clock: Clock = MACHINE_CLOCK


class _Tasks:
    """What both kinds share: the restorer, and who is active."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._source: Source | None = None
        self._restorer: Restorer | None = None
        self.active: Mapping[int, Task] = {}
        self.generation = 0
        """Rises whenever the group changes what is held here."""
        self.assigned = False
        """Whether the group has given its first word."""

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


class TransformTasks(_Tasks):
    """Tasks of a stateless stage: a restore is only to learn where to read."""

    def __init__(self, around: Surroundings, stage: TransformStage) -> None:
        super().__init__(around)
        self._stage = stage
        self.held: Mapping[int, TransformTask] = {}
        """Every task here; replaced, never changed."""

    def add(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        topic_id, operator = self._around.topics.source_id, self._stage.operator
        tasks = [TransformTask(each, topic_id, self._refusals(), operator) for each in partitions]
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
            if isinstance(task, TransformTask):
                self.restorer.add([(task, None)])


class AggregateTasks(_Tasks):
    """Tasks of a stateful stage, each with a store of its own."""

    def __init__(self, around: Surroundings, stage: AggregateStage, stores: Stores, identity: StoreIdentity) -> None:
        """`identity` is a store's but for its partition."""
        super().__init__(around)
        self.stage = stage
        self._stores = stores
        self._identity = identity
        self.held: Mapping[int, AggregateTask] = {}
        """Every task here, restoring or active; replaced, never changed."""

    def add(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        self._restore([self._open(source) for source in partitions])
        self._spread_cache()

    def _restore(self, tasks: Sequence[AggregateTask]) -> None:
        prefix, reach, clock = self._around.settings.prefix, self._around.reach, self._around.clock
        self.restorer.add([(task, Restoration(task, prefix, reach, clock)) for task in tasks])

    def _open(self, source: TopicPartition) -> AggregateTask:
        partition, count = source.partition, self._around.topics.partitions
        if partition >= count:
            raise partitions_changed(count, partition + 1)
        task = AggregateTask(
            source,
            self._around.topics.source_id,
            self._refusals(),
            stage=self.stage,
            owns=lambda key: partition_of(key, count) == partition,
            partitions=count,
            prefix=self._around.settings.prefix,
            store=self._open_store(partition),
            metrics=self._around.metrics,
            clock=self._around.clock,
        )
        self.held = {**self.held, partition: task}
        return task

    def _open_store(self, partition: int) -> Store:
        identity = msgspec.structs.replace(self._identity, partition=partition)
        tables = [table.name for table in self.stage.tables]
        try:
            return self._stores.open(identity, tables)
        except StateForeign as error:
            self._require_committed(partition, error)
            self._quarantine(partition, error)
        except StateUnusable as error:
            self._quarantine(partition, error)
        return self._stores.open(identity, tables)

    def _require_committed(self, partition: int, why: StateForeign) -> None:
        """A store of topics that are gone, and a group that knows nothing: to go on would be to start empty.

        A rebuild or a reset leaves offsets that name the new topics.
        """
        source = TopicPartition(self._around.settings.prefix + self.stage.source, partition)
        if self._around.admin.group_offsets(self._around.group, [source])[source] is None:
            raise StateLost(
                "no committed offset, beside the store of topics that were made anew", hint=REBUILD_HINT, **why.data
            ) from why

    def _quarantine(self, partition: int, why: StateUnusable) -> None:
        moved = self._stores.quarantine(partition, str(why))
        logger.warning("store put in quarantine, rebuilding", partition=partition, why=str(why), kept=str(moved))

    @property
    def quarantined(self) -> int:
        """How many stores of this worker lie in quarantine."""
        return self._stores.quarantined()

    def _spread_cache(self) -> None:
        """The worker's cache is shared out evenly over what it holds."""
        if self.held:
            each = self._around.settings.cache_entries // len(self.held)
            for task in self.held.values():
                task.limit_cache(each)

    def remove(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        for source in partitions:
            self._deactivate(source.partition)
            task = self.held.get(source.partition)
            if task is not None:
                self.held = {each: held for each, held in self.held.items() if each != source.partition}
                task.store.close()
        self._spread_cache()

    def restore_again(self, partitions: Sequence[TopicPartition]) -> None:
        for source in partitions:
            self._deactivate(source.partition)
        self._restore([self.held[source.partition] for source in partitions])

    def rebuild(self, partition: int, why: StateUnusable) -> None:
        task = self.held[partition]
        # The frames that the error came through still refer to the database, which stays open as long as they do.
        for error in (why, why.__cause__):
            if error is not None:
                traceback.clear_frames(error.__traceback__)
        self.remove([task.source])
        self._quarantine(partition, why)
        self._restore([self._open(task.source)])
        self._spread_cache()

    def stop(self) -> None:
        super().stop()
        self.remove([task.source for task in self.held.values()])
        self._stores.release()
