"""A task: one partition's work in one stage, between two commits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from operators.api import Output, Record, Refusal, TaskContext, TransformFactory
from operators.topology import AggregateStage
from pipeline.errors import StateUnusable
from pipeline.log.api import Committed, Delivery, Message, Sink, TopicPartition
from pipeline.runtime.changes import Changes
from pipeline.runtime.clock import MACHINE_CLOCK, Clock
from pipeline.runtime.hot_keys import HotKeys
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.outbox import Outbox
from pipeline.runtime.refusals import RefusalCount
from pipeline.runtime.tables import TaskTable
from pipeline.state.api import Position, Store, WriteSet

SOURCE_HEADER = "statelog-source"
"""On the last record that a commit writes to a changelog: the source position that they include."""


Operate = Callable[[Record], Output | Refusal | Sequence[Output] | None]
"""`Transform.transform` or `Aggregate.fold`."""


class Task(Protocol):
    """What the loop asks of a task, in this order: `process`…, then `record`, `committed`, `settle`; or `drop`."""

    source: TopicPartition
    next_offset: int
    passed: int
    """How far the source was read while nothing was left unprocessed; commit markers included."""

    def process(self, messages: Sequence[Message], outbox: Outbox) -> None:
        """Take consecutive records of the partition. Raises RefusalLimit."""
        ...

    def record(self, sink: Sink) -> None:
        """Send what changed in the tables to their changelogs."""
        ...

    def committed(self) -> Committed:
        """The source position to commit, once `record` and a flush are done."""
        ...

    def settle(self) -> None:
        """The transaction is committed: let the store follow."""
        ...

    def drop(self) -> None:
        """The transaction will never be: forget what it would have changed."""
        ...


class SourceTask(ABC):
    """What tasks of all kinds share: a source position and a count of refusals."""

    def __init__(self, source: TopicPartition, topic_id: str, refusals: RefusalCount, operate: Operate) -> None:
        self._operate = operate
        self.source = source
        self.topic_id = topic_id
        self.refusals = refusals
        self.next_offset = 0
        self.passed = 0

    def start(self, next_offset: int, metadata: CommittedMetadata | None) -> None:
        """Begin, or begin again after an abort, where the last commit ended."""
        self.next_offset = next_offset
        self.refusals.restore(metadata.refusals if metadata else None)

    def process(self, messages: Sequence[Message], outbox: Outbox) -> None:
        """The hot loop: per record only decode, look up, fold, all of them the operator's."""
        operate = self._operate
        topic_id, partition = self.topic_id, self.source.partition
        first = self.refusals.seen
        for index, message in enumerate(messages, first):
            record = Record(
                message.key(), message.value(), message.timestamp()[1], topic_id, partition, message.offset()
            )
            outcome = operate(record)
            if outcome is None:
                continue
            if type(outcome) is Output:
                outbox.send(outcome)
            elif type(outcome) is Refusal:
                self._refuse(record, outcome, index, outbox)
            else:
                for output in outcome:  # type: ignore[union-attr]
                    outbox.send(output)
        self.refusals.seen = first + len(messages)
        self.next_offset = messages[-1].offset() + 1

    @abstractmethod
    def record(self, sink: Sink) -> None: ...

    @abstractmethod
    def committed(self) -> Committed: ...

    @abstractmethod
    def settle(self) -> None: ...

    @abstractmethod
    def drop(self) -> None: ...

    def _refuse(self, record: Record, refusal: Refusal, index: int, outbox: Outbox) -> None:
        outbox.refuse(record, refusal)
        where = f"{self.source.topic}/{self.source.partition}@{record.offset}"
        self.refusals.refuse(index, refusal.reason, refusal.detail, where)


class TransformTask(SourceTask):
    """A partition of a stateless stage."""

    def __init__(
        self, source: TopicPartition, topic_id: str, refusals: RefusalCount, operator: TransformFactory
    ) -> None:
        super().__init__(source, topic_id, refusals, operator().transform)

    def record(self, sink: Sink) -> None:
        """A stateless stage has no changelog."""

    def committed(self) -> Committed:
        metadata = CommittedMetadata(self.topic_id, refusals=self.refusals.export(), next_offset=self.next_offset)
        return Committed(self.next_offset, metadata.encode())

    def settle(self) -> None:
        """A stateless stage has no store."""

    def drop(self) -> None:
        """A stateless stage has nothing pending but what the producer holds."""


class AggregateTask(SourceTask):
    """A partition of a stateful stage, with its store."""

    def __init__(
        self,
        source: TopicPartition,
        topic_id: str,
        refusals: RefusalCount,
        *,
        stage: AggregateStage,
        owns: Callable[[bytes], bool],
        partitions: int,
        prefix: str,
        store: Store,
        metrics: WorkerMetrics,
        changes: Changes,
        clock: Clock = MACHINE_CLOCK,
    ) -> None:
        """`partitions` is how many the source has."""
        self.store = store
        self.hot_keys = HotKeys(clock)
        self._metrics = metrics
        self._changes = changes
        self._clock = clock
        self._stage = stage
        self._partitions = partitions
        self._changelogs = {table.name: prefix + table.changelog for table in stage.tables}
        self.changelogs = {TopicPartition(topic, source.partition): table for table, topic in self._changelogs.items()}
        """Table by changelog."""
        self._tables = {table.name: TaskTable(table, store, metrics.reads(table.name)) for table in stage.tables}
        self._writes = WriteSet()
        self._changelog_next: dict[str, int] = {}
        self._context = TaskContext(source.partition, owns)
        super().__init__(source, topic_id, refusals, self._make_operator())

    @property
    def folded_to(self) -> int:
        """Every record of the source before this offset is in the store, or was refused. Any thread may ask.

        What was passed was in the store when it was noted: markers at the source's tail hold offsets, and no record.
        """
        return max(self.passed, self.store.position.source_next)

    def _make_operator(self) -> Operate:
        return self._stage.operator(dict(self._tables), self._context).fold

    def limit_cache(self, entries: int) -> None:
        """How many decoded rows to keep of each table."""
        for table in self._tables.values():
            table.limit_cache(entries)

    def start(self, next_offset: int, metadata: CommittedMetadata | None) -> None:
        super().start(next_offset, metadata)
        self._changelog_next = dict(self.store.position.changelog_next)
        # What was cached may be older than what the restore has just folded, and what an operator remembers of its
        # tables may have been rolled back: a new one remembers nothing.
        for table in self._tables.values():
            table.forget_cache()
        self._operate = self._make_operator()

    def process(self, messages: Sequence[Message], outbox: Outbox) -> None:
        self.hot_keys.saw(messages)
        with self._named():
            super().process(messages, outbox)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Whoever hears that a store is unusable has to know which."""
        try:
            yield
        except StateUnusable as error:
            error.data["partition"] = self.source.partition
            raise

    def record(self, sink: Sink) -> None:
        headers = [(SOURCE_HEADER, str(self.next_offset).encode())]
        for name, table in self._tables.items():
            self._writes.rows[name] = rows = table.encode_pending()
            if rows:
                to = TopicPartition(self._changelogs[name], self.source.partition)
                sink.send_rows(to, rows, headers, self._note_changelog_position(name))

    def _note_changelog_position(self, table: str) -> Callable[[Delivery], None]:
        def note(delivery: Delivery) -> None:
            self._changelog_next[table] = delivery.offset + 1

        return note

    def committed(self) -> Committed:
        identity = self.store.identity.changelog_topic_ids
        changelogs = {name: (identity[name], next_offset) for name, next_offset in sorted(self._changelog_next.items())}
        metadata = CommittedMetadata(
            self.topic_id, changelogs, self.refusals.export(), self.next_offset, self._partitions
        )
        return Committed(self.next_offset, metadata.encode())

    def settle(self) -> None:
        position = Position(self.next_offset, dict(self._changelog_next), self._clock.now_ms())
        began = self._clock.monotonic()
        with self._named():
            self.store.apply(self._writes, position)
        self._metrics.put(self._clock.monotonic() - began)
        self._changes.settled(self._writes.rows)
        self.hot_keys.settle()
        self._writes = WriteSet()
        for table in self._tables.values():
            table.settle()

    def drop(self) -> None:
        self._writes = WriteSet()
        self.hot_keys.drop()
        for table in self._tables.values():
            table.drop()
