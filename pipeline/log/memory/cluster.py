"""The cluster: topics, groups, transactions and a clock, and by hand whatever may befall them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import count

from pipeline.errors import Fenced, Retryable
from pipeline.log.api import TopicPartition
from pipeline.log.memory.clock import ManualClock
from pipeline.log.memory.groups import Group
from pipeline.log.memory.log import MAX_POLL_INTERVAL_MS, MemoryLog
from pipeline.log.memory.markers import Markers
from pipeline.log.memory.membership import Membership
from pipeline.log.memory.records import MemoryRecord
from pipeline.log.memory.sink import Answer
from pipeline.log.memory.topics import MemoryTopics
from pipeline.log.memory.transactions import TransactionCoordinator
from pipeline.partitioning import partition_of
from pipeline.settings import Settings


class MemoryCluster:
    """A Kafka in memory. One thread; the same calls in the same order give the same answers.

    What a simulation does to it: `advance`, `hold_markers`, `lose_commit_answer`, `deliver_late`, `compact`,
    `expire`, `truncate_before`, `delete_topic`, `expire_group_offsets`; and to one process, `MemoryLog.freeze`.
    """

    def __init__(self, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock()
        self.topics = MemoryTopics()
        self.markers = Markers()
        self.transactions = TransactionCoordinator(self.markers)
        self._memberships: list[Membership] = []
        self._groups: dict[str, Group] = {}
        self._answers: dict[str, Answer] = {}
        self._late: list[Callable[[], None]] = []
        """Requests to commit that have not arrived."""
        self._ran_ms = self.clock.now_ms
        self._turns = count()

    def connect(self, settings: Settings, *, max_poll_interval_ms: int = MAX_POLL_INTERVAL_MS) -> MemoryLog:
        """The way of one more process."""
        return MemoryLog(self, settings, max_poll_interval_ms=max_poll_interval_ms)

    def watch(self, membership: Membership) -> None:
        """For `MemoryLog`: a membership whose application has to poll in time."""
        self._memberships = [each for each in self._memberships if not each.closed]
        self._memberships.append(membership)

    def group(self, name: str) -> Group:
        found = self._groups.get(name)
        if found is None:
            found = self._groups[name] = Group(name, self._partitions_of)
        return found

    def _partitions_of(self, topic: str) -> Sequence[TopicPartition]:
        found = self.topics.get(topic)
        return [TopicPartition(topic, log.partition) for log in found.partitions] if found else []

    # Input and a look at the whole

    def feed(
        self,
        topic: str,
        messages: Iterable[tuple[bytes | None, bytes | None]],
        timestamp_ms: int = 0,
        *,
        partition: int | None = None,
    ) -> None:
        """Put records in, with no transaction; by murmur2 of their keys unless a partition is named."""
        logs = self.topics.require(TopicPartition(topic, partition or 0)), self.topics.get(topic)
        assert logs[1] is not None  # noqa: S101 - `require` has found it
        partitions, now_ms = logs[1].partitions, self.clock.now_ms
        for key, value in messages:
            if partition is not None:
                number = partition
            else:
                number = next(self._turns) if key is None else partition_of(key, len(partitions))
            partitions[number % len(partitions)].append(key, value, timestamp_ms or now_ms, now_ms)

    def records(self, topic: str) -> list[MemoryRecord]:
        """Everything committed that is left in a topic, partition by partition."""
        found = self.topics.get(topic)
        return [record for log in (found.partitions if found else ()) for record in log.read(log.start, log.end + 1)[0]]

    # Time

    def advance(self, ms: int) -> None:
        """Let time pass, and whatever runs out on the way run out in its turn."""
        target = self.clock.now_ms + ms
        while (due := self._next_due_ms()) is not None and due <= target:
            self.clock.now_ms = max(due, self.clock.now_ms)
            self._run_due()
        self.clock.now_ms = target
        self._ran_ms = target

    def run_due(self) -> None:
        """Whatever has run out by now; every client's call begins with it."""
        if self._ran_ms != self.clock.now_ms:
            self.advance(0)

    def _next_due_ms(self) -> int | None:
        moments = [self.transactions.next_timeout_ms()]
        moments += [group.next_end_ms() for group in self._groups.values()]
        moments += [membership.next_poll_ms() for membership in self._memberships]
        return min((each for each in moments if each is not None), default=None)

    def _run_due(self) -> None:
        now_ms = self.clock.now_ms
        self.transactions.abort_timed_out(now_ms)
        for group in self._groups.values():
            group.end_sessions(now_ms)
        for membership in self._memberships:
            membership.leave_if_overdue(now_ms)

    # Fate

    def hold_markers(self, *topics: str) -> None:
        """From now on a transaction that ends leaves its markers to these topics, or to all, on their way.

        `markers.GROUP_OFFSETS` stands for the offsets that groups commit. Until `release_markers` the last stable
        offset stays below them, committed offsets are not stable, and their producer gets no new transaction.
        """
        self.markers.hold(*topics)

    def release_markers(self, *topics: str) -> int:
        """The markers to these topics, or to all, arrive; returns how many were on their way."""
        return self.markers.release(*topics)

    def lose_commit_answer(self, transactional_id: str, *, happened: bool) -> None:
        """The next commit of this id raises OutcomeUnknown, whether it happened or not."""
        self._answers[transactional_id] = Answer.LOST if happened else Answer.NEVER_HAPPENED

    def take_lost_answer(self, transactional_id: str) -> Answer:
        """For the sink: what becomes of its commit."""
        return self._answers.pop(transactional_id, Answer.CAME)

    def delay(self, commit: Callable[[], None]) -> None:
        """For the sink: a request that has not arrived, and for whose answer nobody waits any more."""
        self._late.append(commit)

    def deliver_late(self) -> None:
        """Commits that had not happened arrive after all. As in Kafka, where the requests of librdkafka name a producer
        and its epoch and no transaction, each commits whatever that producer has open by now; a newer one's is safe.
        """
        late, self._late = self._late, []
        for commit in late:
            with suppress(Fenced, Retryable):
                commit()

    def compact(self, topic: str) -> None:
        """The cleaner passes, by the topic's configuration and the clock; nothing when the topic is not compacted."""
        for partition in self._partitions_of(topic):
            self.topics.require(partition).compact(self.clock.now_ms)

    def expire(self, topic: str) -> None:
        """Retention passes, by `retention.ms` and the clock."""
        for partition in self._partitions_of(topic):
            self.topics.require(partition).expire(self.clock.now_ms)

    def truncate_before(self, partition: TopicPartition, offset: int) -> None:
        """The head of a log is deleted, as by Kafka's DeleteRecords."""
        self.topics.require(partition).truncate_before(offset)

    def delete_topic(self, name: str) -> None:
        """With what groups have committed for it; nothing when there is none."""
        if self.topics.delete(name):
            for group in self._groups.values():
                group.offsets.forget(name)

    def expire_group_offsets(self, group: str) -> None:
        """As when a group had no members for longer than `offsets.retention.minutes`."""
        self.group(group).offsets.forget()
