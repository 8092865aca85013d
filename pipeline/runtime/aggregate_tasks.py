"""The tasks of a stateful stage: each with a store of its own, from wherever it comes the quickest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import structlog

from operators.topology import AggregateStage
from pipeline.errors import StateUnusable
from pipeline.log.api import Source, TopicPartition
from pipeline.partitioning import partition_of
from pipeline.runtime.changes import Changes
from pipeline.runtime.cluster import partitions_changed
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.fetch import Fetcher
from pipeline.runtime.opening import StoreOpener, let_go
from pipeline.runtime.restore import Restoration
from pipeline.runtime.standbys import Standbys
from pipeline.runtime.task import AggregateTask
from pipeline.runtime.tasks import Surroundings, Tasks
from pipeline.state.api import Store

logger = structlog.get_logger(__name__)

MakeStandbys = Callable[["AggregateTasks"], Standbys]


class AggregateTasks(Tasks):
    """Tasks of a stateful stage, each with a store of its own.

    A store that was a standby is taken over as it is. One that a peer has and this worker has not is fetched first.
    Then, and in any other case at once, comes the restore.
    """

    def __init__(
        self,
        around: Surroundings,
        stage: AggregateStage,
        opener: StoreOpener,
        make_standbys: MakeStandbys | None = None,
        fetcher: Fetcher | None = None,
    ) -> None:
        super().__init__(around)
        self.stage = stage
        self._opener = opener
        self._make_standbys = make_standbys
        self._fetcher = fetcher
        self.changes = Changes()
        self.standbys: Standbys | None = None
        self.held: Mapping[int, AggregateTask] = {}
        """Every task here, restoring or active; replaced, never changed."""

    def start(self, source: Source) -> None:
        super().start(source)
        if self._make_standbys is not None:
            self.standbys = self._make_standbys(self)
            if self._around.restore_beside:
                self.standbys.start()

    def add(self, partitions: Sequence[TopicPartition]) -> None:
        self._changed()
        ready = []
        for source in partitions:
            standby = self.standbys.take(source.partition) if self.standbys is not None else None
            task = self._open(source, standby or self._opener.open(source.partition))
            if standby is not None:
                logger.info("standby taken over", partition=source.partition, at=standby.position.source_next)
                self._around.reach(CrashPoint.TAKEN_OVER)
            if standby is None and self._fetcher is not None:
                self._want(task, self._fetcher)
            else:
                ready.append(task)
        self._restore(ready)
        self._spread_cache()

    def _want(self, task: AggregateTask, fetcher: Fetcher) -> None:
        changelogs, position = task.changelogs, task.store.position
        fetcher.want(
            task.store.identity,
            {changelog: position.changelog_next.get(table, 0) for changelog, table in changelogs.items()},
        )

    def take_restored(self) -> dict[TopicPartition, int]:
        if self._fetcher is not None:
            for partition, received in self._fetcher.take_ended():
                task = self.held[partition]
                if received is not None:
                    task.store.close()
                    self._fetcher.place(partition, received)
                    task = self._open(task.source, self._opener.open(partition))
                self._restore([task])
        return super().take_restored()

    def _restore(self, tasks: Sequence[AggregateTask]) -> None:
        prefix, reach, clock = self._around.settings.prefix, self._around.reach, self._around.clock
        self.restorer.add([(task, Restoration(task, prefix, reach, clock)) for task in tasks])

    def _open(self, source: TopicPartition, store: Store) -> AggregateTask:
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
            store=store,
            metrics=self._around.metrics,
            changes=self.changes,
            clock=self._around.clock,
        )
        self.held = {**self.held, partition: task}
        return task

    @property
    def quarantined(self) -> int:
        """How many stores of this worker lie in quarantine."""
        return self._opener.stores.quarantined()

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
            if self._fetcher is not None:
                self._fetcher.cancel(source.partition)
            task = self.held.get(source.partition)
            if task is not None:
                self.held = {each: held for each, held in self.held.items() if each != source.partition}
                task.store.close()
            if self.standbys is not None:
                self.standbys.give_back(source.partition)
        self._spread_cache()

    def restore_again(self, partitions: Sequence[TopicPartition]) -> None:
        for source in partitions:
            self._deactivate(source.partition)
        self._restore([self.held[source.partition] for source in partitions])

    def rebuild(self, partition: int, why: StateUnusable) -> None:
        task = self.held[partition]
        let_go(why)
        self._deactivate(partition)
        task.store.close()
        self._opener.quarantine(partition, why)
        self._restore([self._open(task.source, self._opener.open(partition))])
        self._spread_cache()

    def stop(self) -> None:
        super().stop()
        if self._fetcher is not None:
            self._fetcher.stop()
        if self.standbys is not None:
            self.standbys.stop()
        self.remove([task.source for task in self.held.values()])
        self._opener.stores.release()
