"""Tasks whose tables are in Redis: they keep nothing from one commit to the next.

What people build: read the batch's rows, fold, write the rows back, then commit the source's offsets. Two systems, and
no transaction over both: whoever dies between the write and the commit folds the batch again, on rows that include it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from operators.api import TaskContext
from operators.topology import AggregateStage, Topology
from pipeline.log.api import Committed, Message, Sink, TopicPartition
from pipeline.partitioning import partition_of
from pipeline.runtime.fetch import Donors
from pipeline.runtime.identity import WorkerIdentity
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.outbox import Outbox
from pipeline.runtime.refusals import RefusalCount
from pipeline.runtime.start import MakeTasks
from pipeline.runtime.tables import TaskTable
from pipeline.runtime.task import Operate, SourceTask
from pipeline.runtime.tasks import StatelessTasks, Surroundings
from pipeline.tradeoff.redis_rows import RedisRows


class _Fetched:
    """The rows of one transaction: fetched ahead where the keys are known, else when they are asked for."""

    def __init__(self, rows: RedisRows) -> None:
        self._rows = rows
        self._fetched: dict[str, dict[bytes, bytes | None]] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        fetched = self._fetched.setdefault(table, {})
        if key not in fetched:
            fetched[key] = self._rows.get(table, key)
        return fetched[key]

    def fetch(self, table: str, keys: Iterable[bytes]) -> None:
        fetched = self._fetched.setdefault(table, {})
        fetched |= self._rows.get_many(table, [key for key in dict.fromkeys(keys) if key not in fetched])

    def forget(self) -> None:
        self._fetched = {}


class ExternalTask(SourceTask):
    """A partition of a stateful stage whose rows are elsewhere."""

    def __init__(
        self,
        source: TopicPartition,
        topic_id: str,
        refusals: RefusalCount,
        *,
        stage: AggregateStage,
        owns: Callable[[bytes], bool],
        rows: RedisRows,
        metrics: WorkerMetrics,
    ) -> None:
        self._stage = stage
        self._rows = rows
        self._fetched = _Fetched(rows)
        self._context = TaskContext(source.partition, owns)
        self._tables = {each.name: TaskTable(each, self._fetched, metrics.reads(each.name)) for each in stage.tables}
        self._keyed = [table.name for table in stage.tables if table.select is None and not table.local]
        """Tables with one row a source key: what a batch needs of them is known before it is folded."""
        super().__init__(source, topic_id, refusals, self._make_operator())

    def _make_operator(self) -> Operate:
        return self._stage.operator(dict(self._tables), self._context).fold

    def start(self, next_offset: int, metadata: CommittedMetadata | None) -> None:
        super().start(next_offset, metadata)
        self._operate = self._make_operator()

    def process(self, messages: Sequence[Message], outbox: Outbox) -> None:
        keys = [key for message in messages if (key := message.key()) is not None]
        for table in self._keyed:
            self._fetched.fetch(table, keys)
        super().process(messages, outbox)

    def record(self, sink: Sink) -> None:  # noqa: ARG002
        """The write to Redis: from here on until the offsets are committed, a crash has the batch folded twice."""
        self._rows.write({name: table.encode_pending() for name, table in self._tables.items()})

    def committed(self) -> Committed:
        metadata = CommittedMetadata(self.topic_id, refusals=self.refusals.export(), next_offset=self.next_offset)
        return Committed(self.next_offset, metadata.encode())

    def settle(self) -> None:
        for table in self._tables.values():
            table.settle()
            table.forget_cache()
        self._fetched.forget()

    def drop(self) -> None:
        for table in self._tables.values():
            table.drop()
            table.forget_cache()
        self._fetched.forget()


def external_tasks(rows: RedisRows) -> MakeTasks:
    """As `pipeline.runtime.start.make_tasks`, with the tables in Redis."""

    def make(
        around: Surroundings,
        topology: Topology,  # noqa: ARG001
        identity: WorkerIdentity,
        *,
        donors: Donors | None = None,  # noqa: ARG001
    ) -> StatelessTasks:
        stage, count = identity.stage, around.topics.partitions
        assert isinstance(stage, AggregateStage)  # noqa: S101 - no other has tables

        def task(source: TopicPartition, refusals: RefusalCount) -> ExternalTask:
            return ExternalTask(
                source,
                around.topics.source_id,
                refusals,
                stage=stage,
                owns=lambda key: partition_of(key, count) == source.partition,
                rows=rows,
                metrics=around.metrics,
            )

        return StatelessTasks(around, task)

    return make
