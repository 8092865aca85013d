"""Runs restores beside the loop, so that a task that is restoring does not stop the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter, methodcaller
from typing import Protocol

import structlog

from pipeline.errors import PipelineError, Retryable
from pipeline.log.api import Admin, Message, Reader, TopicPartition
from pipeline.runtime.clock import Clock
from pipeline.runtime.restore import Plan, Progress, Restoration, source_start
from pipeline.runtime.task import SourceTask
from pipeline.runtime.turns import TurnLock

POLL_RECORDS = 1_000
"""Few enough that each record is gone before the next ones come, and so stays in the processor's cache and is never
looked at by the garbage collector twice: polls of 10,000 take half as long again."""
POLLS_A_STEP = 10
READ_TOGETHER = 100_000
"""Records left, over the partitions that are read, below which the next one joins. Large ones are so read one after the
other: a chunk has the memory to itself, and in it each key's last value replaces more of the others."""
STALLED_S = 1.0
"""A partition that gives nothing for this long holds up no other."""
POLL_TIMEOUT_S = 0.02
RETRY_PAUSE_S = 0.1
WAITING_LOG_S = 5.0

logger = structlog.get_logger(__name__)

_TOPIC = methodcaller("topic")
_PARTITION = methodcaller("partition")


class RestoreListener(Protocol):
    """Told how restores go, on the restorer's thread."""

    def started(self, partition: int, progress: Progress) -> None: ...
    def moved(self, partition: int, progress: Progress) -> None: ...
    def finished(self, partition: int, progress: Progress) -> None: ...


class _Job:
    """One partition on its way: asked for, prepared, folded, done."""

    def __init__(self, task: SourceTask, restoration: Restoration | None) -> None:
        self.task = task
        self.restoration = restoration
        self.plan: Plan | None = None
        self.retry_at = 0.0
        self.waiting_since: float | None = None
        self.waiting_at: dict[TopicPartition, int] = {}
        self.moved_at: float | None = None
        """When its changelogs last gave something; None before they are read."""

    @property
    def buffered_bytes(self) -> int:
        return self.restoration.buffered_bytes if self.restoration is not None else 0

    def take(self, changelog: TopicPartition, messages: Iterable[Message]) -> None:
        if self.restoration is not None:
            self.restoration.take(changelog, messages)

    def passed(self, changelog: TopicPartition, position: int | None) -> None:
        if self.restoration is not None:
            self.restoration.passed(changelog, position)


class Restorer:
    """Brings tasks to where the last commit ended. `add`, `cancel` and `take_finished` come from the loop's thread;
    `step` does a bounded piece of work and may run on a thread of its own (`start`).
    """

    def __init__(
        self,
        admin: Admin,
        reader: Reader,
        listener: RestoreListener,
        chunk_bytes: int,
        poll_records: int,
        clock: Clock,
    ) -> None:
        """`reader` is of the workers' group, for this restorer alone: a client that another thread polls would hang."""
        self._admin = admin
        self._reader = reader
        self._assigned: set[TopicPartition] = set()
        self._listener = listener
        self._chunk_bytes = chunk_bytes
        self._poll_records = poll_records
        self._clock = clock
        self._lock = TurnLock()
        self._jobs: dict[int, _Job] = {}
        self._finished: list[tuple[SourceTask, Plan]] = []
        self._failures: list[tuple[int, Exception]] = []
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def add(self, wanted: Sequence[tuple[SourceTask, Restoration | None]]) -> None:
        """Bring these up, in one call: each that joins later costs the others what was fetched ahead."""
        with self._lock:
            for task, restoration in wanted:
                self._jobs[task.source.partition] = _Job(task, restoration)
            self._wake.set()

    def cancel(self, partition: int) -> None:
        """Stop working on a partition; when this returns, its store is not touched any more."""
        with self._lock:
            self._jobs.pop(partition, None)
            self._finished = [each for each in self._finished if each[0].source.partition != partition]
            self._failures = [each for each in self._failures if each[0] != partition]

    def take_finished(self) -> list[tuple[SourceTask, Plan]]:
        """Tasks that are ready, with where to read their source from. Lock-free while there is nothing."""
        if not self._finished:
            return []
        with self._lock:
            finished, self._finished = self._finished, []
            return finished

    def take_failures(self) -> list[tuple[int, Exception]]:
        """Partitions that could not be restored, with why; the restorer has let go of them."""
        if not self._failures:
            return []
        with self._lock:
            failures, self._failures = self._failures, []
            return failures

    def progress(self, partition: int) -> Progress | None:
        job = self._jobs.get(partition)
        return job.restoration.progress if job and job.restoration else None

    def step(self) -> bool:
        """Do a piece of work; returns whether there was any."""
        with self._lock:
            now = self._clock.monotonic()
            for job in list(self._jobs.values()):
                if job.plan is None and now >= job.retry_at:
                    self._guarded(job, self._prepare)
            self._fold()
            return bool(self._jobs)

    def _guarded(self, job: _Job, act: Callable[[_Job], None]) -> None:
        try:
            act(job)
        except Retryable as error:
            self._wait(job, error)
        except Exception as error:
            self._fail(job, error)

    def _fail(self, job: _Job, error: Exception) -> None:
        self._jobs.pop(job.task.source.partition, None)
        self._failures.append((job.task.source.partition, error))

    def _wait(self, job: _Job, error: PipelineError) -> None:
        now = self._clock.monotonic()
        job.retry_at = now + RETRY_PAUSE_S
        if job.waiting_since is None or now - job.waiting_since > WAITING_LOG_S:
            job.waiting_since = now
            logger.info("restore waits", partition=job.task.source.partition, reason=str(error))

    def _prepare(self, job: _Job) -> None:
        source = job.task.source
        committed = self._reader.committed([source])[source]
        if job.restoration is None:
            next_offset, metadata = source_start(source, job.task.topic_id, committed, self._admin)
            self._finish(job, Plan(next_offset, metadata, {}, {}))
            return
        self._leave(job.restoration.changelogs)  # to be read from the plan's start, whatever was read before
        job.plan = job.restoration.prepare(committed, self._admin)
        self._listener.started(source.partition, job.restoration.progress)

    def _fold(self) -> None:
        folding = self._folding()
        if folding or self._assigned:
            try:
                self._read(folding)
            except Retryable as error:
                logger.info("restore waits", reason=str(error))
            except Exception as error:
                for job in set(folding.values()):
                    self._fail(job, error)
        due = self._due()
        if due is not None:
            self._guarded(due, self._store)
        for job in set(folding.values()) - {due}:
            if job.restoration is not None and not job.restoration.reached:
                self._say_if_it_waits(job, job.restoration.positions())

    def _folding(self) -> dict[TopicPartition, _Job]:
        """What to read now: partitions in the order in which they came, of those that have not begun only the next."""
        folding: dict[TopicPartition, _Job] = {}
        left, now = 0, time.monotonic()
        for job in self._jobs.values():
            if job.restoration is None or job.plan is None or (left >= READ_TOGETHER and job.moved_at is None):
                continue
            folding |= dict.fromkeys(job.restoration.positions(), job)
            if job.moved_at is None or now - job.moved_at < STALLED_S:
                left += job.restoration.left
        return folding

    def _due(self) -> _Job | None:
        """The job whose chunk goes to its store in this step; one of them, since the loop may be waiting for its turn.

        The fullest, when memory is used up, which is bounded over all partitions; else one that is complete.
        """
        jobs = list(self._jobs.values())
        if self._buffered_bytes >= self._chunk_bytes:
            return max(jobs, key=attrgetter("buffered_bytes"))
        return next((job for job in jobs if job.restoration is not None and job.restoration.reached), None)

    @property
    def _buffered_bytes(self) -> int:
        return sum(job.buffered_bytes for job in self._jobs.values())

    def _read(self, folding: dict[TopicPartition, _Job]) -> None:
        if not set(folding) <= self._assigned:
            self._assigned = set(folding)
            self._reader.assign(
                {each: job.restoration.positions()[each] for each, job in folding.items() if job.restoration}
            )
        else:
            # Its own task may write to it by now; what is left to the others stays prefetched.
            self._leave(self._assigned - set(folding))
        for _ in range(POLLS_A_STEP if folding else 0):
            if self._take(folding) < self._poll_records or self._buffered_bytes >= self._chunk_bytes:
                break
        for changelog, job in folding.items():
            job.passed(changelog, self._reader.position(changelog))

    def _leave(self, changelogs: Iterable[TopicPartition]) -> None:
        left = self._assigned.intersection(changelogs)
        self._assigned -= left
        if left:
            self._reader.unassign(list(left))

    def _take(self, folding: dict[TopicPartition, _Job]) -> int:
        """Fold what one poll gives; returns how many records those are. None of them is kept but as key and value."""
        messages = self._reader.poll(self._poll_records, POLL_TIMEOUT_S)
        for topic, of_topic in groupby(messages, key=_TOPIC):
            for partition, records in groupby(of_topic, key=_PARTITION):
                changelog = TopicPartition(topic, partition)
                job = folding.get(changelog)
                if job is not None and self._holds(job):
                    self._guarded(job, partial(_Job.take, changelog=changelog, messages=records))
        return len(messages)

    def _holds(self, job: _Job) -> bool:
        """Whether it is still to be restored: no other of its changelogs has failed."""
        return self._jobs.get(job.task.source.partition) is job

    def _store(self, job: _Job) -> None:
        assert job.restoration is not None and job.plan is not None  # noqa: S101, PT018 - only such jobs come here
        restoration, partition, plan = job.restoration, job.task.source.partition, job.plan
        if restoration.reached:
            try:
                restoration.look_again(self._admin)
            finally:
                job.plan = restoration.plan
        restoration.write_chunk()
        self._listener.moved(partition, restoration.progress)
        if restoration.reached:
            self._listener.finished(partition, restoration.progress)
            self._finish(job, plan)

    def _say_if_it_waits(self, job: _Job, left: dict[TopicPartition, int]) -> None:
        """Below its target a changelog gives nothing more only while somebody's transaction is open in it."""
        now = self._clock.monotonic()
        if left != job.waiting_at or job.waiting_since is None:
            job.waiting_at, job.waiting_since, job.moved_at = left, now, now
        elif now - job.waiting_since > WAITING_LOG_S:
            job.waiting_since = now
            reason = f"a transaction is open in {', '.join(sorted(each.topic for each in left))}"
            logger.info("restore waits", partition=job.task.source.partition, reason=reason)

    def _finish(self, job: _Job, plan: Plan) -> None:
        self._jobs.pop(job.task.source.partition, None)
        self._finished.append((job.task, plan))

    def start(self) -> None:
        """Run steps on a thread of its own until `stop`."""
        self._thread = threading.Thread(target=self._run, name="statelog-restorer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping:
            if not self.step():
                self._wake.wait(1.0)
                self._wake.clear()
            elif not self._assigned:
                time.sleep(RETRY_PAUSE_S / 10)

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._reader.close()
