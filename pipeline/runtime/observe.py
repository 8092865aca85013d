"""A worker as others see it, and the thread that keeps what it says fresh."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import structlog

from operators.topology import AggregateStage, Topology
from pipeline.errors import PipelineError, StateUnusable
from pipeline.log.api import Admin, TopicPartition
from pipeline.runtime.aggregate_tasks import AggregateTasks
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.restore import Restorable
from pipeline.runtime.stuck import StuckWatch
from pipeline.runtime.tail import Tail
from pipeline.runtime.view import PartitionState, PartitionStatus, StandbyStatus
from pipeline.runtime.worker import Worker
from pipeline.state.api import Position, StoreIdentity, StoreView

HOUSEKEEPING_S = 1.0
SURE_OF_MEMBERSHIP = 0.7
"""Of the session timeout, that the group's word holds: it counts from the last heartbeat, which came before."""
CONFIRM_EVERY = 0.3
"""Of the session timeout: twice before the word runs out."""
RATE_WEIGHT = 0.4
"""Of the newest second in a partition's smoothed rate."""

logger = structlog.get_logger(__name__)


class _Gauge:
    """What is known of one partition's end and pace."""

    def __init__(self, position: int) -> None:
        self.end = -1
        self.end_at = 0.0
        self.rate = 0.0
        self._position = position
        self._at = time.monotonic()

    def note(self, position: int, end: int) -> None:
        now = time.monotonic()
        lately = max(position - self._position, 0) / max(now - self._at, 1e-3)
        self.rate += RATE_WEIGHT * (lately - self.rate)
        self._position, self._at = position, now
        self.end, self.end_at = end, now


class AggregateView:
    """`pipeline.runtime.view.WorkerView` of an aggregate worker."""

    def __init__(
        self,
        worker: Worker,
        identity: WorkerIdentity,
        topology: Topology,
        tasks: AggregateTasks,
        admin: Admin,
        *,
        session_timeout_ms: int,
        stuck_after_ms: int,
    ) -> None:
        self._worker = worker
        self._identity = identity
        self._topology = topology
        self._tasks = tasks
        self._admin = admin
        self._sure_for_s = session_timeout_ms / 1000 * SURE_OF_MEMBERSHIP
        self._stuck = StuckWatch(stuck_after_ms / 1000)
        self._gauges: dict[int, _Gauge] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep_house, name="statelog-housekeeping", daemon=True)

    @property
    def worker_id(self) -> str:
        return self._identity.worker_id

    @property
    def topology(self) -> Topology:
        return self._topology

    @property
    def stage(self) -> AggregateStage:
        return self._tasks.stage

    @property
    def group(self) -> str:
        return self._identity.group

    @property
    def generation(self) -> int:
        return self._tasks.generation

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_house(self) -> None:
        """Each second: make what was applied survive a power cut, look where the source ends, and what stands still."""
        while not self._stopping.wait(HOUSEKEEPING_S):
            self._stuck.look(self.partitions())
            kept = [tail.task for tail in self._standbys().values()]
            tasks: list[Restorable] = [*self._tasks.held.values(), *kept]
            for task in tasks:
                try:
                    task.store.sync()
                except PipelineError as error:
                    # Damaged or full: the loop meets the same disk at its next batch, and knows what to do about it.
                    logger.debug("store not synced", partition=task.source.partition, reason=str(error))
            try:
                ends = self._admin.last_stable([task.source for task in tasks]) if tasks else {}
            except PipelineError as error:
                logger.debug("ends unknown", reason=str(error))
                continue
            self._note(ends)

    def _note(self, ends: dict[TopicPartition, int]) -> None:
        gauges = {}
        for source, end in ends.items():
            task, tail = self._tasks.held.get(source.partition), self._standbys().get(source.partition)
            position = task.next_offset if task else tail.task.store.position.source_next if tail else None
            if position is not None:
                gauges[source.partition] = self._gauges.get(source.partition) or _Gauge(position)
                gauges[source.partition].note(position, end)
        self._gauges = gauges

    def _looped_lately(self) -> bool:
        return time.monotonic() - self._worker.heartbeat < self._sure_for_s

    def _is_member(self) -> bool:
        """Whether the loop has heard all that the group had to say, and the group counted this worker in, lately.

        Both run out on this worker's own clock, before the group would give its partitions away. So a process that was
        paused, or cut off, for longer than its session knows nothing until the group has checked its generation again.
        """
        return self._looped_lately() and time.monotonic() - self._worker.confirmed_at < self._sure_for_s

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
        restoring = sorted(each for each in self._tasks.held if each not in self._tasks.active)
        if restoring:
            return False, f"restoring partitions {', '.join(map(str, restoring))}"
        if not self._tasks.assigned:
            return False, "the group has not assigned partitions yet"
        if not self._is_member() and self._tasks.active:
            since_s = time.monotonic() - self._worker.confirmed_at
            return False, "the group has not confirmed this worker " + (
                "yet" if since_s == math.inf else f"for {since_s:.1f} s"
            )
        return True, ""

    def state_of(self, partition: int) -> PartitionState | None:
        if partition not in self._tasks.held:
            return None
        if partition not in self._tasks.active:
            return PartitionState.RESTORING if self._looped_lately() else PartitionState.STALE
        return PartitionState.ACTIVE if self._is_member() else PartitionState.STALE

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
                statuses.append(self._fed(partition, state, task.store.position.source_next))
        return statuses

    def _fed(self, partition: int, state: PartitionState, position: int) -> PartitionStatus:
        gauge = self._gauges.get(partition)
        if gauge is None or gauge.end < 0:
            return PartitionStatus(partition, state, position, -1, 0.0, 0.0, None)
        end = self._tasks.readable_end(partition, position, gauge.end)
        left = max(end - position, 0)
        eta_s = 0.0 if left == 0 else left / gauge.rate if gauge.rate > 1 else None
        return PartitionStatus(partition, state, position, end, time.monotonic() - gauge.end_at, gauge.rate, eta_s)

    def standbys(self) -> list[StandbyStatus]:
        statuses = []
        for partition, tail in sorted(self._standbys().items()):
            store, gauge = tail.task.store, self._gauges.get(partition)
            statuses.append(
                StandbyStatus(
                    partition,
                    store.restoring is not None or not store.position.changelog_next,
                    store.position.source_next,
                    -1 if gauge is None else gauge.end,
                    0.0 if gauge is None else time.monotonic() - gauge.end_at,
                    sum(store.position.changelog_next.values()),
                )
            )
        return statuses

    def _standbys(self) -> Mapping[int, Tail]:
        return {} if self._tasks.standbys is None else self._tasks.standbys.held

    @contextmanager
    def standby_view(self, partition: int) -> Iterator[StoreView]:
        with self._standbys()[partition].task.store.view() as view:
            if not view.whole:
                raise StateUnusable("the standby is in mid-restore", partition=partition)
            yield view

    def standby_checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        store = self._standbys()[partition].task.store
        return store.identity, store.checkpoint(directory)

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
