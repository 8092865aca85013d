"""The loop: poll, process, commit. One thread does all of it; restores and queries run beside it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from itertools import groupby
from operator import methodcaller

import structlog

from operators.topology import AggregateStage
from pipeline.errors import (
    Fenced,
    OutcomeUnknown,
    PipelineError,
    Retryable,
    SeatTaken,
    StateUnusable,
    TransactionAborted,
)
from pipeline.log.api import Log, Message, Sink, Source, TopicPartition
from pipeline.runtime.clock import MACHINE_CLOCK, Clock
from pipeline.runtime.commit import commit
from pipeline.runtime.crash import CrashHook, CrashPoint, nowhere
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.outbox import Outbox
from pipeline.runtime.ownerless import OwnerlessWatch
from pipeline.runtime.task import Task
from pipeline.runtime.tasks import TaskSet
from pipeline.runtime.tracing import NO_TRACES, CommitTraces
from pipeline.settings import Settings

IDLE_POLL_S = 0.1
BEHIND_FACTOR = 10
"""A worker with tables that is behind may take so many commit intervals for a transaction: its readings wait for their
turn anyway, and a row that changes twice between two commits is written once. One without tables would gain nothing."""
CONFIRM_PAUSE_S = 0.1
"""Between two attempts at the group's word."""
SEAT_TAKEN_AGAIN = 1.0
"""Of the session timeout: within it somebody alive takes a seat back that was taken from them. They hear of it with
their next heartbeat, of which there are five in a session."""
FENCED_LIMIT = 5
"""Times in a row that a new producer may be fenced before its first commit: then somebody else really has the id."""

_PARTITION = methodcaller("partition")

logger = structlog.get_logger(__name__)


class Worker:
    """One worker of one stage, from `run` to its return, or, driven from outside, `join`, `round`s and `leave`."""

    def __init__(
        self,
        settings: Settings,
        identity: WorkerIdentity,
        log: Log,
        tasks: TaskSet,
        *,
        metrics: WorkerMetrics,
        reach: CrashHook = nowhere,
        traces: CommitTraces = NO_TRACES,
        clock: Clock = MACHINE_CLOCK,
        confirm_every_s: float | None = None,
        ownerless: OwnerlessWatch | None = None,
    ) -> None:
        """`confirm_every_s`: how old the group's word may get; none for a worker that answers no queries.

        `ownerless`: none where the coordinator lets no partition be nobody's.
        """
        self._settings = settings
        self._identity = identity
        self._commit_grace_s = 0.0
        if isinstance(identity.stage, AggregateStage):
            self._commit_grace_s = (BEHIND_FACTOR - 1) * settings.commit_interval_ms / 1000
        self._log = log
        self._tasks = tasks
        self._metrics = metrics
        self._traces = traces
        self._reach = reach
        self._clock = clock
        self._confirm_every_s = confirm_every_s
        self._ownerless = ownerless
        self._sink: Sink | None = None
        self._outbox: Outbox | None = None
        self._source: Source | None = None
        self._open_work: dict[int, Task] = {}
        """Tasks with records folded in the open transaction, by partition."""
        self._folded = 0
        self._commit_at = 0.0
        self._fenced_in_a_row = 0
        self._assigned: set[TopicPartition] = set()
        self._seat_retaken_at = -math.inf
        self._stopping = False
        self.heartbeat = self._clock.monotonic()
        """When the loop last went round."""
        self.confirmed_at = -math.inf
        """Before the group last took offsets of this worker, and so checked that it is a member and not of the past."""
        self._confirm_at = math.inf
        """When it has to be asked to, should no commit have done it before; never where nobody asks this worker."""

    def stop(self) -> None:
        """Drain, commit, close: `run` returns soon after. May be called from a signal handler or another thread."""
        self._stopping = True

    def run(self) -> None:
        """Work until `stop`. Raises the errors that end a worker: Fenced, RefusalLimit, StateLost, Misconfigured…"""
        self.join()
        try:
            while not self._stopping:
                self.round()
        except BaseException:
            self.give_up()
            raise
        self.leave()

    def join(self) -> None:
        """Before the first `round`."""
        self._renew_sink()  # before joining: it ends the transaction that a dead worker of this id left open
        self._source = self._take_seat()
        self._tasks.start(self._source)

    def _take_seat(self) -> Source:
        return self._log.source(
            self._identity.source,
            self._identity.group,
            self,
            instance_id=self._identity.instance_id,
            client_id=self._identity.client_id,
        )

    def leave(self) -> None:
        """After the last `round`: commit what is open, and close."""
        try:
            self._commit_or_recover()
        except BaseException:
            self._abandon()
            raise
        finally:
            self._close()

    def give_up(self) -> None:
        """After a `round` that raised: nothing of the open transaction may be seen."""
        self._abandon()
        self._close()

    def _close(self) -> None:
        if self._source is not None:
            with contextlib.suppress(Retryable, TransactionAborted, Fenced):
                self._source.close()  # a dynamic member leaves; `revoked` runs inside
        self._tasks.stop()
        if self._sink is not None:
            self._sink.close()

    def round(self) -> None:
        """Poll once, process what came, commit if it is due."""
        source = self._source
        assert source is not None  # noqa: S101 - `join` comes first
        self.heartbeat = now = self._clock.monotonic()
        if self._sink is None:
            self._renew_sink()
        timeout = max(self._commit_at - now, 0.0) if self._open_work else IDLE_POLL_S
        # A poll for many waits for many: the first record of a transaction is taken alone, and starts its clock.
        limit = self._settings.poll_records if self._open_work else 1
        try:
            messages = source.poll(limit, timeout)
        except SeatTaken as error:
            self._retake_seat(source, error)
            return
        if messages:
            self._guarded(lambda: self._process(messages))
        elif not self._open_work:
            self._tasks.note_passed()
        if self._sink is not None:
            self._begin_restored(source)
        if self._open_work:
            if self._commit_is_due(behind=len(messages) == limit):
                self._commit_or_recover()
                self._tasks.note_passed()  # all that was polled is in the stores, or its tasks are no longer active
        elif now >= self._confirm_at and self._sink is not None and self._tasks.active:
            self._guarded(self._confirm)
        if self._ownerless is not None and self._ownerless.finds_any():
            source.join_anew()

    def _commit_is_due(self, *, behind: bool) -> bool:
        late_s = self._clock.monotonic() - self._commit_at
        return self._folded >= self._settings.commit_records or late_s >= (self._commit_grace_s if behind else 0.0)

    def _process(self, messages: Sequence[Message]) -> None:
        assert self._sink is not None and self._outbox is not None  # noqa: S101, PT018 - `round` renews a lost sink
        active = self._tasks.active
        # What is not active was fetched before a rebalance took it away.
        runs = [(active[each], list(run)) for each, run in groupby(messages, key=_PARTITION) if each in active]
        begins = bool(runs) and not self._open_work
        # All of them before any is processed: whatever one meets, none of the others may go on behind what was polled.
        self._open_work.update((task.source.partition, task) for task, _ in runs)
        if begins:
            self._sink.begin()
            self._commit_at = self._clock.monotonic() + self._settings.commit_interval_ms / 1000
            self._traces.begin(self._outbox)
        for task, batch in runs:
            self._traces.saw(batch)
            task.process(batch, self._outbox)
            self._metrics.processed(len(batch))
            self._folded += len(batch)
        self._reach(CrashPoint.FOLDED, self._folded)

    def _begin_restored(self, source: Source) -> None:
        starts = self._tasks.take_restored()
        if starts:
            source.resume(starts)
            if self._confirm_every_s is not None:
                self._confirm_at = 0.0  # at once, so that they can be asked about

    # Commit, and what follows when it fails

    def _commit_or_recover(self) -> None:
        if self._open_work:
            self._guarded(self._commit)

    def _commit(self) -> None:
        assert self._sink is not None and self._source is not None and self._outbox is not None  # noqa: S101, PT018
        began = self._clock.monotonic()
        commit(list(self._open_work.values()), self._sink, self._source.membership(), self._reach)
        seconds = self._clock.monotonic() - began
        self._metrics.committed(self._folded, seconds, self._outbox.take_refused())
        self._traces.committed(self._folded, self._open_work, seconds)
        self._note_confirmed(began)
        self._open_work = {}
        self._folded = 0
        self._fenced_in_a_row = 0

    def _confirm(self) -> None:
        """Commit where the tasks stand already, only for the check of the generation that comes with it.

        Between two polls nothing else tells a worker that it still is a member: its client goes on believing so until
        it hears otherwise, also after a pause in which another has taken over. The client's own question for the
        group's members will not do: asked while no coordinator answers, it ends the process (librdkafka issue 5040).
        """
        assert self._sink is not None and self._source is not None  # noqa: S101, PT018 - `_round` looked
        began = self._clock.monotonic()
        self._confirm_at = began + CONFIRM_PAUSE_S
        self._sink.begin()
        positions = {task.source: task.committed() for task in self._tasks.active.values()}
        self._sink.send_offsets(positions, self._source.membership())
        self._sink.commit()
        self._note_confirmed(began)

    def _note_confirmed(self, began: float) -> None:
        self.confirmed_at = began
        if self._confirm_every_s is not None:
            self._confirm_at = began + self._confirm_every_s

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do what may end the transaction, and take the way back that its error asks for."""
        try:
            act()
        except (TransactionAborted, Retryable) as error:
            logger.warning("transaction aborted", reason=str(error))
            self._metrics.aborted("aborted")
            self._drop_work()
            self._abort()
        except (Fenced, OutcomeUnknown) as error:
            self._lose_sink(error)
        except StateUnusable as error:
            self._drop_work()
            self._abort()
            self._tasks.rebuild(int(str(error.data["partition"])), error)

    def _drop_work(self) -> None:
        """Forget what the transaction would have changed, and send its tasks back to where the last commit ended."""
        for task in self._open_work.values():
            task.drop()
        dropped, self._open_work, self._folded = self._open_work, {}, 0
        if self._outbox is not None:
            self._outbox.take_refused()
        self._traces.dropped()
        self._send_back(list(dropped))

    def _send_back(self, partitions: Sequence[int]) -> None:
        held = [TopicPartition(self._identity.source, each) for each in partitions if each in self._tasks.active]
        if held and self._source is not None:
            self._source.pause(held)
            self._tasks.restore_again(held)

    def _abort(self) -> None:
        try:
            if self._sink is not None:
                self._sink.abort()
        except (Fenced, OutcomeUnknown, TransactionAborted) as error:
            self._lose_sink(error)

    def _lose_sink(self, error: PipelineError) -> None:
        """A producer that is fenced, or whose last commit may or may not have happened.

        Its own transaction time-out looks the same as somebody else's taking its id. So: a new producer, and then the
        group says what is still owned, and the restore what was committed.
        """
        self._fenced_in_a_row += isinstance(error, Fenced)  # an outcome unknown is no sign of another with this id
        logger.warning("producer lost", reason=str(error), times=self._fenced_in_a_row)
        self._metrics.aborted("fenced" if isinstance(error, Fenced) else "unknown-outcome")
        if self._fenced_in_a_row > FENCED_LIMIT:
            raise Fenced(
                "the producer is fenced again and again",
                hint="another process uses this worker's transactional id: give each its own --id",
                id=self._identity.transactional_id,
            )
        self._drop_work()
        if self._sink is not None:
            self._sink.close()
            self._sink = None
        # A task without open work may still be one commit behind what the lost producer did: all of them look again.
        self._send_back(list(self._tasks.active))

    def _renew_sink(self) -> None:
        try:
            self._sink = self._log.sink(self._identity.transactional_id)
        except Retryable as error:
            if self._source is None:
                raise
            logger.warning("no producer yet", reason=str(error))
            return
        self._outbox = self._identity.outbox(self._sink, self._clock)

    def _abandon(self) -> None:
        """On the way out with an error: nothing of the open transaction may be seen."""
        for task in self._open_work.values():
            task.drop()
        self._open_work = {}
        if self._sink is not None:
            with contextlib.suppress(PipelineError):
                self._sink.abort()

    def _retake_seat(self, source: Source, error: SeatTaken) -> None:
        """Join again under the same static id, unless somebody alive has it.

        While its broker goes and comes back, an attempt to join of this worker's own may be carried out and its answer
        lost; the group then takes the worker for another than the holder of its seat. Whoever is alive takes the seat
        back at once, so who loses it twice in a row is the second of two.
        """
        now = self._clock.monotonic()
        if now - self._seat_retaken_at < self._settings.session_timeout_ms / 1000 * SEAT_TAKEN_AGAIN:
            raise error
        self._seat_retaken_at = now
        logger.warning("seat in the group taken, joining again", reason=str(error))
        self.lost(sorted(self._assigned))
        with contextlib.suppress(Retryable, TransactionAborted, Fenced):
            source.close()
        self._source = self._take_seat()
        self._tasks.follow(self._source)

    # The group's word; on the thread that polls, from inside `poll` or `close`

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._reach(CrashPoint.ASSIGNED)
        self._assigned.update(partitions)
        if self._ownerless is not None:
            self._ownerless.told()
        self._tasks.add(partitions)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._commit_or_recover()
        self._reach(CrashPoint.REVOKED)
        self._assigned.difference_update(partitions)
        self._tasks.remove(partitions)
        self._reach(CrashPoint.RELEASED)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        """Somebody else owns these by now. Dropped before any new credentials are fetched: the broker checks the
        member, not the partition.
        """
        if self._open_work:
            logger.warning("partitions lost with open work", partitions=[each.partition for each in partitions])
            self._drop_work()
            self._abort()
        self._reach(CrashPoint.LOST)
        self._assigned.difference_update(partitions)
        self._tasks.remove(partitions)
        self._tasks.put_out()  # who holds nothing is ready for more, but not who does not know what it holds
