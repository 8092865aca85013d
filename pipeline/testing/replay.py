"""A partition's state by three ways that share no code with the restore: in its store, by changelogs, by its source."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from operators.api import Record, TaskContext
from operators.testing import DictTable
from operators.topology import AggregateStage
from pipeline.log.api import Message, TopicPartition
from pipeline.partitioning import partition_of
from pipeline.state.api import StoreView
from pipeline.state.envelope import seal
from pipeline.testing.world import World

Rows = Mapping[str, Mapping[bytes, bytes]]
"""By table, the sealed values."""


def rows_of(view: StoreView, stage: AggregateStage) -> Rows:
    """What a store holds."""
    return {table.name: dict(view.scan(table.name)) for table in stage.tables}


def rows_of_changelogs(
    changelogs: Mapping[str, Iterable[Message]], partition: int, until: Mapping[str, int] | None = None
) -> Rows:
    """What the records of one partition come to, by table; up to these offsets, or to the end."""
    rows: dict[str, dict[bytes, bytes]] = {}
    for table, records in changelogs.items():
        end = None if until is None else until.get(table, 0)
        of_table = rows[table] = {}
        for record in records:
            key, value = record.key(), record.value()
            if record.partition() != partition or key is None or (end is not None and record.offset() >= end):
                continue
            if value is None:
                of_table.pop(key, None)
            else:
                of_table[key] = value
    return rows


def rows_of_source(world: World, stage: AggregateStage, partition: int) -> Rows:
    """The committed source through a new operator, one record after the other: no log, no commit, no restore.

    Raises ValueError for an operator that changes a value in place and does not put it.
    """
    tables: dict[str, DictTable[Any]] = {table.name: DictTable(table.value) for table in stage.tables}
    owns = TaskContext(partition, lambda key: partition_of(key, world.partitions) == partition)
    operator = stage.operator(dict(tables), owns)
    topic_id = world.admin.topics([stage.source])[stage.source].topic_id
    log = world.cluster.topics.require(TopicPartition(stage.source, partition))
    for each in log.read(log.start, log.end + 1)[0]:
        operator.fold(Record(each.key(), each.value(), each.timestamp()[1], topic_id, partition, each.offset()))
    for table in tables.values():
        table.commit()
    return {name: {key: seal(value) for key, value in table.committed.items()} for name, table in tables.items()}


def digest_of(rows: Rows) -> str:
    """As `pipeline.state.digest` defines it, written anew: one mistake must not be made twice."""
    total = hashlib.sha256()
    for table, of_table in sorted(rows.items()):
        for key, value in sorted(of_table.items()):
            for part in (table.encode(), key, value):
                total.update(len(part).to_bytes(4, "big") + part)
    return total.hexdigest()


def differing_keys(one: Rows, other: Rows) -> dict[str, list[bytes]]:
    """By table, the keys under which they are not the same; only tables that have some."""
    found = {
        table: sorted(
            key
            for key in one.get(table, {}).keys() | other.get(table, {}).keys()
            if one.get(table, {}).get(key) != other.get(table, {}).get(key)
        )
        for table in sorted(one.keys() | other.keys())
    }
    return {table: keys for table, keys in found.items() if keys}
