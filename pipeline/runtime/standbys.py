"""The standbys of a worker: which it keeps, what brings them on, and the hand-over to the loop.

One thread beside the loop, which does two things in turn. It **looks**: what the group has committed, and who its
members are; each look gives the standbys newer cuts to reach (`pipeline.runtime.tail`), and says which ones this worker
should keep (`pipeline.runtime.placement`). And it **steps**: one small poll of all their changelogs, and at most one
batch for a store, under a lock with turns, so that the loop waits for no more than that when it takes a store over.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import methodcaller

import structlog

from pipeline.errors import PipelineError, Retryable, StateUnusable
from pipeline.log.api import Admin, Reader, TopicPartition
from pipeline.runtime.clock import Clock
from pipeline.runtime.inheritance import Inheritance
from pipeline.runtime.opening import let_go
from pipeline.runtime.placement import Group, group_of_members, standbys_of
from pipeline.runtime.standby_lag import StandbyLags
from pipeline.runtime.tail import Standby, Tail
from pipeline.runtime.turns import TurnLock
from pipeline.state.api import Store

LOOK_EVERY_S = 1.0
SETTLED_S = 2.0
"""A standby is begun when the rule has asked for it for so long: not at each step of a rebalance."""
KEPT_S = 60.0
"""One that the rule no longer asks for is kept for so long: workers that leave often come back."""
AGAIN_S = 30.0
"""After a standby that failed."""
AHEAD_RECORDS = 50_000
"""Records read beyond the last cut, over all standbys, at which reading waits for the next cut."""
POLL_TIMEOUT_S = 0.02
IDLE_PAUSE_S = 0.1
"""Between two polls that gave little: the loop has better use for the processor."""
STOP_PATIENCE_S = 2.0

logger = structlog.get_logger(__name__)

_TOPIC = methodcaller("topic")
_PARTITION = methodcaller("partition")


class Standbys:
    """`take`, `give_back` and `wake` come from the loop's thread, `look` and `step` from one of its own (`start`).
    `held` and `lags` may be read by any.
    """

    def __init__(
        self,
        worker_id: str,
        group: str,
        sources: Sequence[TopicPartition],
        replicas: int,
        *,
        admin: Admin,
        reader: Reader,
        open_standby: Callable[[int], Standby],
        quarantine: Callable[[int, StateUnusable], None],
        tail: Callable[[Standby], Tail],
        inheritance: Inheritance,
        poll_records: int,
        clock: Clock,
    ) -> None:
        """`sources` are all partitions of the stage's source; `reader` is of the workers' group, for this alone."""
        self._worker_id = worker_id
        self._group_name = group
        self._sources = sources
        self._replicas = replicas
        self._admin = admin
        self._reader = reader
        self._open_standby = open_standby
        self._quarantine = quarantine
        self._tail = tail
        self._inheritance = inheritance
        self._poll_records = poll_records
        self._clock = clock
        self._lock = TurnLock()
        self.held: Mapping[int, Tail] = {}
        """By partition; replaced, never changed."""
        self.lags = StandbyLags(clock)
        self._owned: set[int] = set()
        """Partitions of the loop's, which no standby may touch."""
        self._just_left: set[int] = set()
        """Those that it gave back since the last look."""
        self._wanted_since: dict[int, float] = {}
        self._unwanted_since: dict[int, float] = {}
        self._not_before: dict[int, float] = {}
        self._reading: set[TopicPartition] = set()
        self._look_at = 0.0
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    # For the loop

    def take(self, partition: int) -> Store | None:
        """The partition is this worker's own now: its standby's store as it is, if there is one."""
        with self._lock:
            self._owned.add(partition)
            self._just_left.discard(partition)
            tail = self._forget(partition)
        self.wake()
        return None if tail is None else tail.task.store

    def give_back(self, partition: int) -> None:
        """It is no longer. Its closed store is a standby for a while: nobody has a better one for the next owner."""
        with self._lock:
            self._owned.discard(partition)
            self._just_left.add(partition)
        self.wake()

    def wake(self) -> None:
        """Something has changed: look at once."""
        self._look_at = 0.0
        self._wake.set()

    def stop(self) -> None:
        """Close all stores. Does not wait for a cluster that does not answer: the thread then ends by itself."""
        with self._lock:
            self._stopping = True
            for partition in self.held:
                self._close(partition)
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_PATIENCE_S)
        if self._thread is None or not self._thread.is_alive():
            self._reader.close()

    # On its own thread

    def start(self) -> None:
        """Look and step until `stop`."""
        self._thread = threading.Thread(target=self._run, name="statelog-standbys", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            if not self.step():
                until_look_s = max(self._look_at - self._clock.monotonic(), 0.0)
                self._wake.wait(min(until_look_s, IDLE_PAUSE_S) if self.held else until_look_s)
                self._wake.clear()

    def step(self) -> bool:
        """Look, if it is time, and do a piece of work; returns whether there is more to be had at once."""
        if self._clock.monotonic() >= self._look_at:
            self._look_at = self._clock.monotonic() + LOOK_EVERY_S
            try:
                self._look()
            except PipelineError as error:
                logger.debug("standbys: the cluster does not say how things stand", reason=str(error))
        with self._lock:
            return not self._stopping and self._follow()

    def _look(self) -> None:
        # The offsets first: where no coordinator answers it ends here, and nobody is asked for the group's members.
        committed = self._admin.group_offsets(self._group_name, self._sources)
        group = group_of_members(self._admin.members(self._group_name), self._sources[0].topic)
        if self._inheritance.look(group, self._clock.monotonic()):
            self._look_at = min(self._look_at, self._clock.monotonic() + IDLE_PAUSE_S)
        for tail in list(self.held.values()):
            self.lags.note(tail.task.source.partition, committed[tail.task.source], tail.task.store.position)
            try:
                self._renew(tail)
            except Retryable as error:
                logger.debug("standby waits", partition=tail.task.source.partition, reason=str(error))
            except PipelineError as error:
                with self._lock:
                    self._fail(tail, error)
        with self._lock:
            if not self._stopping:
                self._follow_the_rule(group)

    def _renew(self, tail: Tail) -> None:
        """A newer cut for a standby that has use for one.

        A stable one: of a commit whose marker is still on its way to the offsets, and long since in the changelogs,
        compaction may have taken what the cut before it needs.
        """
        if tail.plan is not None and not tail.wants_cut:
            return
        committed = self._reader.committed([tail.task.source])[tail.task.source]
        if committed is None:
            return  # nothing to follow yet
        if tail.plan is None:
            tail.prepare(committed, self._admin)  # asks the cluster, so not under the lock; it changes no store
            return
        with self._lock:
            if self._holds(tail):
                tail.aim(committed)

    def _follow_the_rule(self, group: Group) -> None:
        now = self._clock.monotonic()
        for source in self._sources:
            partition = source.partition
            owner = group.owners.get(partition)
            wanted = (
                partition not in self._owned
                and owner not in {None, self._worker_id}
                and self._worker_id in standbys_of(partition, owner, group.workers, self._replicas)
            )
            since, other = self._wanted_since, self._unwanted_since
            if not wanted:
                since, other = other, since
            other.pop(partition, None)
            since.setdefault(partition, now)
            settled = wanted and now - since[partition] >= SETTLED_S
            if partition not in self.held and (settled or partition in self._just_left):
                self._begin(partition)
            elif not wanted and partition in self.held and now - since[partition] >= KEPT_S:
                logger.info("standby given up", partition=partition)
                self._close(partition)
            (self.lags.follow if wanted or partition in self.held else self.lags.forget)(partition)
        self._just_left.clear()

    def _begin(self, partition: int) -> None:
        if self._clock.monotonic() < self._not_before.get(partition, 0.0):
            return
        try:
            standby = self._open_standby(partition)
        except PipelineError as error:
            self._put_off(partition, error)
            return
        self.held = {**self.held, partition: self._tail(standby)}
        self._look_at = 0.0
        logger.info("standby begins", partition=partition, at=standby.store.position.source_next)

    def _put_off(self, partition: int, error: Exception) -> None:
        self._not_before[partition] = self._clock.monotonic() + AGAIN_S
        logger.warning("standby not kept", partition=partition, reason=str(error), again_in_s=AGAIN_S)

    def _follow(self) -> bool:
        """One poll for all, and at most one batch for a store."""
        tails = [tail for tail in self.held.values() if tail.plan is not None]
        more = False
        try:
            if sum(tail.ahead for tail in tails) < AHEAD_RECORDS:
                more = self._read({changelog: tail for tail in tails for changelog in tail.changelogs})
            else:
                self._look_at = min(self._look_at, self._clock.monotonic() + IDLE_PAUSE_S)
        except Retryable as error:
            logger.debug("standbys wait", reason=str(error))
        except PipelineError as error:
            # Which of them it was the client does not say; each finds out for itself where it stands.
            logger.warning("standbys begin to read anew", reason=str(error))
            for tail in tails:
                tail.plan = None
        due = next((tail for tail in tails if tail.due), None)
        if due is not None:
            try:
                due.write_chunk()
            except PipelineError as error:
                self._fail(due, error)
        return more

    def _read(self, tails: Mapping[TopicPartition, Tail]) -> bool:
        if set(tails) != self._reading or any(tail.fresh for tail in tails.values()):
            self._reader.assign({changelog: tail.reading()[changelog] for changelog, tail in tails.items()})
            self._reading = set(tails)
            for tail in tails.values():
                tail.fresh = False
        if not tails:
            return False
        messages = self._reader.poll(self._poll_records, POLL_TIMEOUT_S)
        for topic, of_topic in groupby(messages, key=_TOPIC):
            for partition, records in groupby(of_topic, key=_PARTITION):
                changelog = TopicPartition(topic, partition)
                tails[changelog].take(changelog, records)
        for changelog, tail in tails.items():
            tail.passed(changelog, self._reader.position(changelog))
        return len(messages) == self._poll_records

    def _fail(self, tail: Tail, error: PipelineError) -> None:
        """What a standby fails with ends the standby, and nothing else."""
        partition = tail.task.source.partition
        if not self._holds(tail):
            return
        let_go(error)
        self._close(partition)
        if isinstance(error, StateUnusable):
            self._quarantine(partition, error)
        self._put_off(partition, error)

    def _holds(self, tail: Tail) -> bool:
        return self.held.get(tail.task.source.partition) is tail

    def _forget(self, partition: int) -> Tail | None:
        tail = self.held.get(partition)
        self.held = {each: held for each, held in self.held.items() if each != partition}
        return tail

    def _close(self, partition: int) -> None:
        tail = self._forget(partition)
        if tail is not None:
            try:
                tail.task.store.close()
            except PipelineError as error:
                logger.warning("a standby's store did not close well", partition=partition, reason=str(error))
