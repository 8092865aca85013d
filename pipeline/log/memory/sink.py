"""A transactional producer on the in-memory cluster.

A record is in the log as soon as it is sent, inside the open transaction; what it met shows at `flush` and after, as it
does with the real client. Not modelled: batches and compression (a record's size is that of its bytes), a queue that is
full, waiting: where the real producer repeats a call until its patience ends, this one raises at once what that comes
to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from functools import lru_cache, partial
from itertools import count
from typing import TYPE_CHECKING

from pipeline.errors import Fenced, Misconfigured, OutcomeUnknown, PipelineError, Retryable, TransactionAborted
from pipeline.log.api import Committed, Delivery, Headers, Membership, TopicPartition
from pipeline.log.memory.groups import Token
from pipeline.log.memory.offsets import METADATA_LIMIT, GroupOffsets
from pipeline.log.memory.partition import PartitionLog
from pipeline.log.memory.topics import MemoryTopic
from pipeline.log.memory.transactions import Transaction
from pipeline.partitioning import murmur2

if TYPE_CHECKING:
    from pipeline.log.memory.cluster import MemoryCluster

CLIENT_LIMIT = 2_097_152
"""Bytes of a record that the client itself does not take, as `pipeline.log.kafka` sets it."""

_hash = lru_cache(1 << 16)(murmur2)


class Answer(Enum):
    """What becomes of a commit and of the answer to it."""

    CAME = "it happened, and the producer knows"
    LOST = "it happened, and the producer does not know"
    NEVER_HAPPENED = "the request was lost, or comes late, and the producer does not know"


class MemorySink:
    """`pipeline.log.api.Sink`."""

    def __init__(self, cluster: MemoryCluster, transactional_id: str, timeout_ms: int) -> None:
        """Raises Retryable while the markers of a predecessor's transaction are held back."""
        self.transactional_id = transactional_id
        self._cluster = cluster
        self._clock = cluster.clock
        self._transaction: Transaction = cluster.transactions.init(transactional_id, timeout_ms)
        self._epoch = self._transaction.epoch
        self._turns = count()
        self._open = False
        self._enlisted = False
        """Whether the coordinator knows of this transaction."""
        self._stuck = False
        """Whether it would not take it yet: the last one's markers are on their way."""
        self._fatal: Fenced | None = None
        self._told = False
        """Whether a call has raised it: before, sending goes on as if nothing were."""
        self._broken: PipelineError | None = None
        """Why this transaction can only be aborted."""
        self._met: PipelineError | None = None
        """What a record met."""
        self._reported: PipelineError | None = None
        """The same, when somebody waits for the record's report."""
        self._reports: list[tuple[Callable[[Delivery], None], Delivery]] = []

    def begin(self) -> None:
        self._require_alive()
        if self._open:
            raise PipelineError("operation not valid in state InTransaction", code="_STATE")
        self._open, self._enlisted, self._stuck = True, False, False
        self._broken, self._reported, self._reports = None, None, []

    def send(self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int) -> None:
        self.send_with_headers(topic, key, value, timestamp_ms, ())

    def send_with_headers(
        self, topic: str, key: bytes | None, value: bytes | None, timestamp_ms: int, headers: Headers
    ) -> None:
        self._require_open()
        found = self._cluster.topics.get(topic)
        if found is None:
            self._break(TransactionAborted("1 message(s) failed delivery", topic=topic))
            return
        self._append(self._partition(found, key), key, value, timestamp_ms, list(headers) or None)

    def _partition(self, topic: MemoryTopic, key: bytes | None) -> PartitionLog:
        # The real client takes any partition for a null key.
        number = next(self._turns) if key is None else _hash(key) & 0x7FFFFFFF
        return topic.partitions[number % len(topic.partitions)]

    def send_rows(
        self,
        to: TopicPartition,
        rows: Mapping[bytes, bytes | None],
        headers: Headers,
        on_delivery: Callable[[Delivery], None],
    ) -> None:
        self._require_open()
        if not rows:
            return
        topics = self._cluster.topics
        log = topics.find(to)
        if log is None:
            if topics.get(to.topic) is not None:
                raise Misconfigured("unable to produce message: unknown partition", code="_UNKNOWN_PARTITION")
            # The client goes on looking for a topic that it has seen, until the transaction's time is over.
            missing = Retryable if topics.was_there(to.topic) else Misconfigured
            self._reported = self._reported or missing("unknown topic or partition", topic=to.topic)
            self._break(TransactionAborted("1 message(s) failed delivery", topic=to.topic))
            return
        listed = list(headers) or None
        offset = None
        for number, (key, value) in enumerate(rows.items(), 1):
            offset = self._append(log, key, value, 0, listed if number == len(rows) else None)
        if offset is not None:
            self._reports.append((on_delivery, Delivery(to.topic, to.partition, offset)))
        else:
            self._reported = self._reported or self._met

    def _append(
        self,
        log: PartitionLog,
        key: bytes | None,
        value: bytes | None,
        timestamp_ms: int,
        headers: list[tuple[str, bytes]] | None,
    ) -> int | None:
        """The record's offset; None when it did not get there, which shows later."""
        if self._broken is not None:
            return None  # given up with the others
        transaction = self._transaction
        if (log not in transaction.partitions or transaction.epoch != self._epoch) and not self._enlist(log):
            return None
        size = (0 if key is None else len(key)) + (0 if value is None else len(value))
        if size > log.config.max_message_bytes or (key is None and log.config.compacts):
            self._refuse(log, size)
            return None
        now_ms = self._clock.now_ms
        return log.append(key, value, timestamp_ms or now_ms, now_ms, headers, transaction.producer)

    def _enlist(self, log: PartitionLog) -> bool:
        try:
            self._cluster.transactions.enlist(self._transaction, self._epoch, log, self._clock.now_ms)
        except Fenced as error:
            self._fatal = self._fatal or error
            return False
        except Retryable:
            self._stuck = True
            return False
        self._enlisted = True
        return True

    def _refuse(self, log: PartitionLog, size: int) -> None:
        """The partition does not take the record."""
        if size > CLIENT_LIMIT:
            raise Misconfigured("unable to produce message: message size too large", code="MSG_SIZE_TOO_LARGE")
        if size > log.config.max_message_bytes:
            self._met = Misconfigured("message size too large", hint="raise max.message.bytes of the topic",
                                      topic=log.topic, code="MSG_SIZE_TOO_LARGE")  # fmt: skip
        else:
            self._met = PipelineError("failed to validate record", topic=log.topic, code="INVALID_RECORD")
        hopeless = isinstance(self._met, Misconfigured)
        self._break(self._met if hopeless else TransactionAborted(f"1 message(s) failed: {self._met.message}"))

    def flush(self) -> None:
        self._cluster.run_due()
        self._notice_fence()
        self._require_alive()
        if self._stuck:
            raise TransactionAborted("records were not delivered in time")
        for on_delivery, delivery in self._reports:
            on_delivery(delivery)
        self._reports = []
        if self._reported is not None:
            raise self._reported

    def send_offsets(self, positions: Mapping[TopicPartition, Committed], membership: Membership) -> None:
        if not membership.member:
            raise TransactionAborted("this worker is no member of its group: nothing of it may be committed")
        self._cluster.run_due()
        self._notice_fence()
        self._require_open()
        if self._broken is not None:
            raise self._broken
        token = membership.token
        assert isinstance(token, Token)  # noqa: S101 - of a MemorySource, as all of a cluster's clients are of one kind
        group = self._cluster.group(token.group)
        try:
            # The coordinator of transactions hears first, the group's own then says whether it takes the offsets.
            self._propose(group.offsets, {})
            group.check(token)
            for partition, committed in positions.items():
                if self._cluster.topics.find(partition) is None:
                    raise TransactionAborted("failed to commit offsets: unknown topic or partition",
                                             topic=partition.topic)  # fmt: skip
                if len(committed.metadata) > METADATA_LIMIT:
                    raise TransactionAborted("failed to commit offsets: offset metadata string too large")
        except TransactionAborted as error:
            self._break(error)
            raise
        self._propose(group.offsets, positions)

    def _propose(self, offsets: GroupOffsets, positions: Mapping[TopicPartition, Committed]) -> None:
        try:
            self._cluster.transactions.propose(self._transaction, self._epoch, offsets, positions, self._clock.now_ms)
        except Fenced as error:
            self._fatal = error
            self._require_alive()
        self._enlisted = True

    def commit(self) -> None:
        self._cluster.run_due()
        self._notice_fence()
        self._require_alive()
        self._require_open()
        if self._stuck:
            raise OutcomeUnknown("no answer to a commit: it may have happened")
        if self._broken is not None:
            raise self._broken
        lost = self._cluster.take_lost_answer(self.transactional_id)
        if lost is Answer.NEVER_HAPPENED:
            self._cluster.delay(partial(self._cluster.transactions.end, self._transaction, self._epoch, commit=True))
        else:
            self._end(commit=True)
        if lost is not Answer.CAME:
            raise OutcomeUnknown("no answer to a commit: it may have happened")
        self._open = False

    def abort(self) -> None:
        if not self._open:
            return
        self._cluster.run_due()
        self._notice_fence()
        self._require_alive()
        self._reports = []
        if self._stuck and self._transaction.state == "prepared":
            raise OutcomeUnknown("no answer to an abort")
        self._end(commit=False)
        self._open = False

    def _end(self, *, commit: bool) -> None:
        if not self._enlisted:
            return  # nothing that the cluster knows of
        try:
            self._cluster.transactions.end(self._transaction, self._epoch, commit=commit)
        except Fenced as error:
            self._fatal = error
            self._require_alive()

    def close(self) -> None:
        """An open transaction is left to the next of this id, or to its time-out."""

    def _break(self, error: PipelineError) -> None:
        self._broken = self._broken or error

    def _notice_fence(self) -> None:
        """A producer that has something in the log hears of its fencing with the next answer."""
        if self._enlisted and self._open and self._fatal is None and self._transaction.epoch != self._epoch:
            self._fatal = Fenced("this instance has been fenced by a newer instance", code="_FENCED")

    def _require_open(self) -> None:
        if self._told:
            self._require_alive()
        if not self._open:
            raise PipelineError("operation not valid in state Ready", code="_STATE")

    def _require_alive(self) -> None:
        if self._fatal is not None:
            self._told = True
            raise self._fatal
