"""The two replays: of the changelogs, and of the source by the operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from operators.api import Record, TaskContext
from operators.topology import AggregateStage, TableSpec
from pipeline.log.api import Reader, TopicPartition
from pipeline.log.reading import read
from pipeline.partitioning import partition_of
from pipeline.state.envelope import seal, unseal
from pipeline.verify.scratch import Scratch

Report = Callable[[int, int], None]
"""Told the offset passed and the number of records folded since it was last told."""

CACHED_ROWS = 50_000
"""Decoded rows of a table that a replay of the source holds."""


def replay_changelog(
    reader: Reader, changelog: TopicPartition, end: int, table: str, scratch: Scratch, report: Report
) -> None:
    """Fold a changelog's committed records below `end`: of each key the last, and none when that has no value."""
    for batch in read(reader, changelog, end):
        changes: dict[bytes, bytes | None] = {}
        for message in batch:
            key = message.key()
            if key is not None:
                changes[key] = message.value()
        scratch.write(table, changes)
        report(batch[-1].offset() + 1, len(batch))


def replay_source(
    reader: Reader,
    source: TopicPartition,
    end: int,
    stage: AggregateStage,
    topic_id: str,
    partitions: int,
    scratch: Scratch,
    report: Report,
) -> None:
    """Fold the source's committed records below `end` with the stage's operator, whose outputs are dropped."""
    tables = {spec.name: _ReplayTable(spec, scratch) for spec in stage.tables}
    context = TaskContext(source.partition, lambda key: partition_of(key, partitions) == source.partition)
    fold = stage.operator(dict(tables), context).fold
    for batch in read(reader, source, end):
        for message in batch:
            fold(
                Record(
                    message.key(),
                    message.value(),
                    message.timestamp()[1],
                    topic_id,
                    source.partition,
                    message.offset(),
                )
            )
        for table in tables.values():
            table.trim()
        report(batch[-1].offset() + 1, len(batch))
    for table in tables.values():
        table.flush()


_DELETED: Final[Any] = object()


class _ReplayTable:
    """`operators.api.Table` over the scratch database."""

    def __init__(self, spec: TableSpec[Any], scratch: Scratch) -> None:
        self._spec = spec
        self._scratch = scratch
        self._rows: dict[bytes, Any] = {}
        self._changed: set[bytes] = set()

    def get(self, key: bytes) -> Any:
        row = self._rows.get(key)
        if row is None:
            sealed = self._scratch.get(self._spec.name, key)
            if sealed is None:
                return None
            row = self._rows[key] = self._spec.value.decode(unseal(sealed))
        return None if row is _DELETED else row

    def put(self, key: bytes, value: Any) -> None:
        self._rows[key] = value
        self._changed.add(key)

    def delete(self, key: bytes) -> None:
        self._rows[key] = _DELETED
        self._changed.add(key)

    def trim(self) -> None:
        """Between two records: write out and forget when there is too much."""
        if len(self._rows) > CACHED_ROWS:
            self.flush()
            self._rows.clear()

    def flush(self) -> None:
        encode = self._spec.value.encode
        rows = self._rows
        self._scratch.write(
            self._spec.name,
            {key: None if rows[key] is _DELETED else seal(encode(rows[key])) for key in self._changed},
        )
        self._changed.clear()
