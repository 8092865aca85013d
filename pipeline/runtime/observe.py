"""A worker as others see it, and the thread that keeps what it says fresh."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import structlog

from operators.topology import AggregateStage, Topology
from pipeline.errors import PipelineError, StateUnusable
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.aggregate_tasks import AggregateTasks
from pipeline.runtime.changes import Changes
from pipeline.runtime.hot_keys import Recent
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.restore import Restorable
from pipeline.runtime.source_ends import SourceEnds
from pipeline.runtime.stuck import StuckWatch
from pipeline.runtime.tail import Tail
from pipeline.runtime.tasks import StatelessTasks
from pipeline.runtime.view import PartitionState, PartitionStatus, Pulse, StandbyLag, StandbyStatus
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings
from pipeline.state.api import Position, StoreIdentity, StoreSize, StoreView

HOUSEKEEPING_S = 1.0
SURE_OF_MEMBERSHIP = 0.7
"""Of the session timeout, that the group's word holds: it counts from the last heartbeat, which came before."""
CONFIRM_EVERY = 0.3
"""Of the session timeout: twice before the word runs out."""

logger = structlog.get_logger(__name__)


class TransformView:
    """`pipeline.runtime.view.HealthView` of a worker of either kind, and all that a stateless one shows."""

    def __init__(
        self,
        worker: Worker,
        identity: WorkerIdentity,
        tasks: StatelessTasks | AggregateTasks,
        admin: Admin,
        settings: Settings,
    ) -> None:
        self._worker = worker
        self._identity = identity
        self._held_by = tasks
        self._admin = admin
        self._sure_for_s = settings.session_timeout_ms / 1000 * SURE_OF_MEMBERSHIP
        self._stuck = StuckWatch(settings.stuck_after_ms / 1000)
        self._ends = SourceEnds(tasks.readable_end)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_house, name="statelog-housekeeping", daemon=True)

    @property
    def worker_id(self) -> str:
        return self._identity.worker_id

    @property
    def group(self) -> str:
        return self._identity.group

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_house(self) -> None:
        """Each second: look where the source ends, and what stands still."""
        while not self._stopping.wait(HOUSEKEEPING_S):
            self._stuck.look(self.partitions())
            self._sync_stores()
            taken = self._taken()
            try:
                ends = self._admin.last_stable(list(taken)) if taken else {}
            except PipelineError as error:
                logger.debug("ends unknown", reason=str(error))
                continue
            self._ends.note(ends, {source.partition: offset for source, offset in self._taken().items()})

    def _taken(self) -> dict[TopicPartition, int]:
        """The next offset to take of every partition whose end is looked at."""
        return {task.source: task.next_offset for task in self._held_by.held.values()}

    def _sync_stores(self) -> None:
        """A stateless worker has none."""

    def _looped_lately(self) -> bool:
        return time.monotonic() - self._worker.heartbeat < self._sure_for_s

    def healthy(self) -> tuple[bool, str]:
        if self._looped_lately():
            return True, ""
        return False, f"the loop has not gone round for {time.monotonic() - self._worker.heartbeat:.1f} s"

    def ready(self) -> tuple[bool, str]:
        if self._stuck.why:
            return False, self._stuck.why
        alive, why = self.healthy()
        if not alive:
            return False, why
        restoring = [each for each in self.partitions() if each.state is PartitionState.RESTORING]
        if restoring:
            return False, _time_left(restoring)
        if not self._held_by.assigned:
            return False, "the group has not assigned partitions yet"
        return True, ""

    def pulse(self) -> Pulse:
        return Pulse(time.monotonic() - self._worker.heartbeat, self._stuck.stuck)

    def state_of(self, partition: int) -> PartitionState | None:
        if partition not in self._held_by.held:
            return None
        if not self._looped_lately():
            return PartitionState.STALE
        return PartitionState.ACTIVE if partition in self._held_by.active else PartitionState.RESTORING

    def partitions(self) -> list[PartitionStatus]:
        """A stateless partition has nothing to restore but where it is: until then its end is unknown."""
        statuses = []
        for partition, task in sorted(self._held_by.held.items()):
            state = self.state_of(partition)
            if state is PartitionState.RESTORING:
                statuses.append(PartitionStatus(partition, state, 0, -1, 0.0, 0.0, None))
            elif state is not None:
                statuses.append(self._ends.status(partition, state, task.next_offset))
        return statuses

    def store_sizes(self) -> Mapping[int, StoreSize]:
        """By partition; none of a stateless stage."""
        return {}

    def standby_lags(self) -> Mapping[int, StandbyLag]:
        """By partition that this worker has to keep a standby of; none of a stateless stage."""
        return {}

    @property
    def quarantined(self) -> int:
        """Stores in quarantine; a stateless stage has none."""
        return 0


def _time_left(restoring: list[PartitionStatus]) -> str:
    """Why a worker that restores is not ready, and for how long."""
    what = f"restoring partitions {', '.join(str(each.partition) for each in restoring)}"
    left = [each.eta_s for each in restoring if each.eta_s is not None]
    return f"{what}, about {max(left):.0f} s left" if len(left) == len(restoring) else f"{what}, for an unknown time"


class AggregateView(TransformView):
    """`pipeline.runtime.view.WorkerView` of an aggregate worker."""

    def __init__(
        self,
        worker: Worker,
        identity: WorkerIdentity,
        topology: Topology,
        tasks: AggregateTasks,
        admin: Admin,
        settings: Settings,
    ) -> None:
        super().__init__(worker, identity, tasks, admin, settings)
        self._topology = topology
        self._tasks = tasks

    @property
    def topology(self) -> Topology:
        return self._topology

    @property
    def stage(self) -> AggregateStage:
        return self._tasks.stage

    @property
    def generation(self) -> int:
        return self._tasks.generation

    def _sync_stores(self) -> None:
        """Make what was applied survive a power cut."""
        tasks: list[Restorable] = [*self._tasks.held.values(), *(tail.task for tail in self._standbys().values())]
        for task in tasks:
            try:
                task.store.sync()
            except PipelineError as error:
                # Damaged or full: the loop meets the same disk at its next batch, and knows what to do about it.
                logger.debug("store not synced", partition=task.source.partition, reason=str(error))

    def _taken(self) -> dict[TopicPartition, int]:
        standbys = [tail.task for tail in self._standbys().values()]
        return {standby.source: standby.store.position.source_next for standby in standbys} | super()._taken()

    def _is_member(self) -> bool:
        """Whether the loop has heard all that the group had to say, and the group counted this worker in, lately.

        Both run out on this worker's own clock, before the group would give its partitions away. So a process that was
        paused, or cut off, for longer than its session knows nothing until the group has checked its generation again.
        """
        return self._looped_lately() and time.monotonic() - self._worker.confirmed_at < self._sure_for_s

    def pulse(self) -> Pulse:
        confirmed_at = self._worker.confirmed_at
        confirmed_age_s = None if confirmed_at == -math.inf else time.monotonic() - confirmed_at
        return msgspec.structs.replace(super().pulse(), confirmed_age_s=confirmed_age_s)

    def ready(self) -> tuple[bool, str]:
        is_ready, why = super().ready()
        if is_ready and not self._is_member() and self._tasks.active:
            since_s = time.monotonic() - self._worker.confirmed_at
            return False, "the group has not confirmed this worker " + (
                "yet" if since_s == math.inf else f"for {since_s:.1f} s"
            )
        return is_ready, why

    def state_of(self, partition: int) -> PartitionState | None:
        state = super().state_of(partition)
        return PartitionState.STALE if state is PartitionState.ACTIVE and not self._is_member() else state

    def partitions(self) -> list[PartitionStatus]:
        statuses = []
        for partition, task in sorted(self._tasks.held.items()):
            state = self.state_of(partition)
            progress = self._tasks.restorer.progress(partition)
            if state is PartitionState.RESTORING:
                done, end, rate, eta_s = (
                    (progress.start + progress.done, progress.target, progress.rate, progress.eta_s)
                    if progress
                    else (0, -1, 0.0, None)
                )
                statuses.append(PartitionStatus(partition, state, done, end, 0.0, rate, eta_s))
            elif state is not None:
                statuses.append(self._ends.status(partition, state, task.store.position.source_next))
        return statuses

    def store_sizes(self) -> Mapping[int, StoreSize]:
        """By partition, of those that can say: one that is being closed, or is damaged, cannot."""
        sizes = {}
        for partition, task in self._tasks.held.items():
            with suppress(PipelineError):
                sizes[partition] = task.store.size()
        return sizes

    @property
    def quarantined(self) -> int:
        return self._tasks.quarantined

    def standby_lags(self) -> Mapping[int, StandbyLag]:
        return {} if self._tasks.standbys is None else self._tasks.standbys.lags.now()

    def standbys(self) -> list[StandbyStatus]:
        statuses = []
        for partition, tail in sorted(self._standbys().items()):
            store = tail.task.store
            end, age_s = self._ends.known(partition)
            restoring = store.restoring is not None or not store.position.changelog_next
            folded = sum(store.position.changelog_next.values())
            statuses.append(StandbyStatus(partition, restoring, store.position.source_next, end, age_s, folded))
        return statuses

    def _standbys(self) -> Mapping[int, Tail]:
        return {} if self._tasks.standbys is None else self._tasks.standbys.held

    @contextmanager
    def standby_view(self, partition: int) -> Iterator[StoreView]:
        with self._standbys()[partition].task.store.view() as view:
            if not view.whole or not view.position.changelog_next:
                raise StateUnusable("the standby has not caught up for the first time", partition=partition)
            yield view

    def standby_checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        store = self._standbys()[partition].task.store
        return store.identity, store.checkpoint(directory)

    def recent(self, most: int, prefix: bytes = b"") -> Mapping[int, Recent]:
        return {
            partition: task.hot_keys.recent(most, prefix)
            for partition, task in self._tasks.held.items()
            if self.state_of(partition) is PartitionState.ACTIVE
        }

    @property
    def changes(self) -> Changes:
        return self._tasks.changes

    def folded_to(self, partition: int) -> int:
        return self._tasks.held[partition].folded_to

    @contextmanager
    def view(self, partition: int) -> Iterator[StoreView]:
        task = self._tasks.held[partition]
        with task.store.view() as view:
            yield view

    def checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        task = self._tasks.held[partition]
        if self.state_of(partition) is not PartitionState.ACTIVE:
            raise StateUnusable("only an active partition can give a snapshot", partition=partition)
        return task.store.identity, task.store.checkpoint(directory)
