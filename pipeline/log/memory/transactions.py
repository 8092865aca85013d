"""The transaction coordinator: who may write under a transactional id, and how a transaction ends.

Modelled: epochs and fencing, time-outs, the end of a predecessor's transaction by `init`, a decision whose markers
reach the partitions later. Not modelled: transaction version 2 (a new epoch after each transaction, KIP-890), which
librdkafka does not use; the second or so by which Kafka notices a time-out late.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from pipeline.errors import Fenced, Retryable
from pipeline.log.api import Committed, TopicPartition
from pipeline.log.memory.markers import GROUP_OFFSETS, Markers
from pipeline.log.memory.offsets import GroupOffsets
from pipeline.log.memory.partition import PartitionLog


class _Mark(Protocol):
    def __call__(self, producer: int, *, commit: bool) -> None: ...


class Transaction:
    """One transactional id: its present producer and the state of its transaction."""

    def __init__(self, producer: int) -> None:
        self.producer = producer
        self.epoch = -1
        self.timeout_ms = 0
        self.state: Literal["empty", "ongoing", "prepared"] = "empty"
        """Prepared: the end is decided and written down, and markers are on their way."""
        self.began_ms = 0
        self.partitions: dict[PartitionLog, None] = {}
        self.groups: dict[int, GroupOffsets] = {}
        """By identity."""
        self.markers_left = 0


class TransactionCoordinator:
    def __init__(self, markers: Markers) -> None:
        self._markers = markers
        self._transactions: dict[str, Transaction] = {}
        self._ongoing: dict[int, Transaction] = {}
        """By producer."""

    def init(self, transactional_id: str, timeout_ms: int) -> Transaction:
        """A new producer takes the id over. Raises Retryable while its predecessor's markers are on their way."""
        transaction = self._transactions.get(transactional_id)
        if transaction is None:
            transaction = self._transactions[transactional_id] = Transaction(len(self._transactions))
        if transaction.state == "ongoing":
            self._fence(transaction)
        _require_settled(transaction)
        transaction.epoch += 1
        transaction.timeout_ms = timeout_ms
        return transaction

    def enlist(self, transaction: Transaction, epoch: int, log: PartitionLog, now_ms: int) -> None:
        """A partition that the transaction is about to write to."""
        self._begin(transaction, epoch, now_ms)
        transaction.partitions[log] = None
        log.open(transaction.producer)

    def propose(
        self,
        transaction: Transaction,
        epoch: int,
        offsets: GroupOffsets,
        positions: Mapping[TopicPartition, Committed],
        now_ms: int,
    ) -> None:
        """A group's positions, which become true with the transaction."""
        self._begin(transaction, epoch, now_ms)
        transaction.groups[id(offsets)] = offsets
        offsets.propose(transaction.producer, positions)

    def end(self, transaction: Transaction, epoch: int, *, commit: bool) -> None:
        """Decide. The markers follow, at once or later."""
        check(transaction, epoch)
        _require_settled(transaction)
        if transaction.state == "ongoing":
            self._decide(transaction, commit=commit)

    def next_timeout_ms(self) -> int | None:
        return min((each.began_ms + each.timeout_ms for each in self._ongoing.values()), default=None)

    def abort_timed_out(self, now_ms: int) -> None:
        """A transaction that took too long is aborted, and its producer is fenced by nobody but the clock."""
        for transaction in list(self._ongoing.values()):
            if transaction.began_ms + transaction.timeout_ms <= now_ms:
                self._fence(transaction)

    def _begin(self, transaction: Transaction, epoch: int, now_ms: int) -> None:
        check(transaction, epoch)
        _require_settled(transaction)
        if transaction.state == "empty":
            transaction.state = "ongoing"
            transaction.began_ms = now_ms
            self._ongoing[transaction.producer] = transaction

    def _fence(self, transaction: Transaction) -> None:
        transaction.epoch += 1
        self._decide(transaction, commit=False)

    def _decide(self, transaction: Transaction, *, commit: bool) -> None:
        producer = transaction.producer
        del self._ongoing[producer]
        places: list[tuple[str, _Mark]] = [(log.topic, log.mark) for log in transaction.partitions]
        places += [(GROUP_OFFSETS, offsets.mark) for offsets in transaction.groups.values()]
        transaction.partitions, transaction.groups = {}, {}
        transaction.state = "prepared" if places else "empty"
        transaction.markers_left = len(places)
        for topic, mark in places:

            def arrive(mark: _Mark = mark) -> None:
                mark(producer, commit=commit)
                transaction.markers_left -= 1
                if not transaction.markers_left:
                    transaction.state = "empty"

            self._markers.deliver(topic, arrive)


def check(transaction: Transaction, epoch: int) -> None:
    """Raises Fenced for a producer that is no longer the id's."""
    if transaction.epoch != epoch:
        raise Fenced("this instance has been fenced by a newer instance", code="_FENCED")


def _require_settled(transaction: Transaction) -> None:
    if transaction.state == "prepared":
        raise Retryable("the last transaction's markers are on their way", code="CONCURRENT_TRANSACTIONS")
