"""A worker's process without a process: the real worker, whose every step somebody asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from operators.topology import AggregateStage, Stage, Topology
from pipeline.log.memory import MemoryCluster
from pipeline.runtime.aggregate_tasks import AggregateTasks
from pipeline.runtime.cluster import look_up
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.identity import WorkerIdentity, application_of
from pipeline.runtime.metrics import AbortCause, TableReads, WorkerMetrics
from pipeline.runtime.restore import Progress
from pipeline.runtime.start import make_tasks, watch_ownerless
from pipeline.runtime.tail import Tail
from pipeline.runtime.task import AggregateTask, Task
from pipeline.runtime.tasks import Surroundings
from pipeline.runtime.worker import Worker
from pipeline.settings import Settings
from pipeline.state.api import Store, Stores
from pipeline.testing.clock import TurnedClock
from pipeline.testing.disks import Disk

MAX_POLL_INTERVAL_MS = 24 * 3_600_000
"""So long a worker may go without a step and keep its seat, if nothing else is said."""
RESTORE_POLL_RECORDS = 3
"""So few that a short restore too takes several steps, between which something may befall it."""

_AT_THE_DOOR = frozenset({CrashPoint.REVOKED, CrashPoint.RELEASED})

Reached = Callable[["Process", CrashPoint], None]


class Killed(BaseException):
    """What kill -9 is to a process: nothing of it runs any more."""


class _Tally(WorkerMetrics):
    """Counts without a registry: simulated workers start by the thousand."""

    def __init__(self) -> None:
        self.aborts = 0
        self.folded = 0
        self.refused = 0

    def processed(self, records: int) -> None:
        """Not asked for."""

    def committed(self, records: int, seconds: float, refused: Mapping[str, int]) -> None:  # noqa: ARG002
        self.folded += records
        self.refused += sum(refused.values())

    def aborted(self, cause: AbortCause) -> None:  # noqa: ARG002
        self.aborts += 1

    def put(self, seconds: float) -> None:
        """Not asked for."""

    def reads(self, table: str) -> TableReads:  # noqa: ARG002
        return TableReads(self.put)


class _Silent:
    """A `RestoreListener` without a word."""

    def started(self, partition: int, progress: Progress) -> None: ...
    def moved(self, partition: int, progress: Progress) -> None: ...
    def finished(self, partition: int, progress: Progress) -> None: ...


class Process:
    """One worker of one stage, from its start to its end. Its disk and what it sent outlive it."""

    def __init__(
        self,
        cluster: MemoryCluster,
        clock: TurnedClock,
        topology: Topology,
        stage: Stage,
        settings: Settings,
        disk: Disk,
        *,
        reached: Reached,
        dynamic: bool = False,
        max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS,
    ) -> None:
        """Starts it. Raises what a start may raise: StateLocked, Retryable while markers are on their way."""
        self.stage = stage
        self.worker_id = settings.id or ""
        self.dynamic = dynamic
        self.disk = disk
        self.log = cluster.connect(settings, max_poll_interval_ms=max_poll_interval_ms)
        self.alive = True
        self.frozen = False
        self.killed = False
        self.dies_at: CrashPoint | None = None
        self._leaving = False
        self.reached: list[CrashPoint] = []
        self.metrics = _Tally()
        self._on_reach = reached
        self._clock = clock
        identity = WorkerIdentity.of(settings, stage, None)
        self.identity = replace(identity, instance_id=None) if dynamic else identity
        admin = self.log.admin()
        around = Surroundings(
            settings, self.log, admin, look_up(admin, settings.prefix, stage), identity.group, _Silent(),
            self._reach, self.metrics, restore_beside=False, restore_poll_records=RESTORE_POLL_RECORDS, clock=clock,
        )  # fmt: skip
        stores: Stores | None = None
        if isinstance(stage, AggregateStage):
            stores = disk.claim(application_of(settings.prefix, topology, stage), self.worker_id, self._ingested)
        self.tasks = make_tasks(around, topology, self.identity, stores)
        self.worker = Worker(
            settings, self.identity, self.log, self.tasks, metrics=self.metrics, reach=self._reach, clock=clock,
            ownerless=watch_ownerless(around, self.identity),
        )  # fmt: skip
        try:
            self.worker.join()
        except BaseException:
            if stores is not None:
                stores.release()
            raise

    def __repr__(self) -> str:
        return f"{self.stage.name} worker {self.worker_id}"

    @property
    def active(self) -> Mapping[int, Task]:
        return self.tasks.active

    @property
    def held(self) -> Mapping[int, AggregateTask]:
        """Every task that has a store here; none of a stateless stage."""
        return self.tasks.held if isinstance(self.tasks, AggregateTasks) else {}

    @property
    def standbys(self) -> Mapping[int, Tail]:
        """Stores that follow those of others."""
        standbys = self.tasks.standbys if isinstance(self.tasks, AggregateTasks) else None
        return {} if standbys is None else standbys.held

    @property
    def runs(self) -> bool:
        """Whether it would do a step."""
        return self.alive and not self.frozen

    def _ingested(self) -> None:
        self._reach(CrashPoint.INGESTED)

    def _reach(self, point: CrashPoint, _folded: int = 0, /) -> None:
        self.reached.append(point)
        self._on_reach(self, point)
        # A worker that leaves handles every error on its way out, which the dead do not: there it may die at the end.
        if point is self.dies_at and (not self._leaving or point in _AT_THE_DOOR):
            raise Killed

    def step(self) -> None:
        """One round of the loop, and one step of what runs beside it. Raises what ends a worker, when it is ended."""
        self.round()
        self.restore()
        self.follow()

    def round(self) -> None:
        """One round of the loop."""
        self._do(self.worker.round)

    def restore(self) -> None:
        """One step of the restorer."""
        self._do(self.tasks.restorer.step)

    def follow(self) -> None:
        """One step of the standbys, if it keeps any."""
        if isinstance(self.tasks, AggregateTasks) and self.tasks.standbys is not None:
            self._do(self.tasks.standbys.step)

    def _do(self, act: Callable[[], object]) -> None:
        if not self.runs:
            return
        try:
            act()
        except Killed:
            self.kill()
        except Exception:
            self.dies_at = None
            self.worker.give_up()
            self.alive = False
            raise
        finally:
            self._clock.tick()

    def kill(self) -> None:
        """Kill -9. Its seat and its open transaction stay until their time is over, or its next life takes them."""
        self.alive, self.killed = False, True
        self.log.freeze()
        self.disk.crash(self._stores())

    def _stores(self) -> Iterable[Store]:
        return [task.store for task in self.held.values()] + [tail.task.store for tail in self.standbys.values()]

    def leave(self) -> None:
        """As by SIGTERM: commit and close. One with a static seat keeps it until its session ends."""
        self._leaving, self.alive = True, False
        try:
            self.worker.leave()
        except Killed:
            self.kill()

    def freeze(self) -> None:
        """It stands still (SIGSTOP): no steps, no heartbeats."""
        self.frozen = True
        self.log.freeze()

    def thaw(self) -> None:
        """It goes on, as if no time had passed."""
        self.frozen = False
        self.log.thaw()
