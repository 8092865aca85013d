"""What a worker has to know of its topics before it joins."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from operators.topology import AggregateStage, Stage, Topology
from pipeline.errors import Misconfigured, StateLost
from pipeline.log.api import Admin, TopicPartition
from pipeline.partitioning import GROW_HINT
from pipeline.runtime.identity import group_of
from pipeline.runtime.metadata import CommittedMetadata


class Topics(NamedTuple):
    """A stage's topics as the cluster has them."""

    partitions: int
    source_id: str
    changelog_ids: dict[str, str]
    """By table."""


def look_up(admin: Admin, prefix: str, stage: Stage) -> Topics:
    """Raises Misconfigured when one is missing."""
    tables = (
        {table.name: prefix + table.changelog for table in stage.tables} if isinstance(stage, AggregateStage) else {}
    )
    source = prefix + stage.source
    found = admin.topics([source, *tables.values()])
    missing = [name for name in (source, *tables.values()) if name not in found]
    if missing:
        raise Misconfigured("topics are missing: " + ", ".join(missing), hint="`statelog topics create` makes them")
    return Topics(
        found[source].partitions,
        found[source].topic_id,
        {table: found[topic].topic_id for table, topic in tables.items()},
    )


def require_same_count(admin: Admin, prefix: str, topology: Topology, count: int) -> None:
    """Raises Misconfigured when the topics had another number of partitions at some stage's last commit.

    Topics that grew together agree with each other, and still their keys belong to other partitions than their state.
    """
    for stage in topology.aggregates:
        source = [TopicPartition(prefix + stage.source, number) for number in range(count)]
        for committed in admin.group_offsets(group_of(prefix, stage), source).values():
            if committed is not None:
                with suppress(StateLost):  # what no worker wrote is for the restore to refuse
                    then = CommittedMetadata.decode(committed.metadata).partitions
                    if then not in (0, count):
                        raise partitions_changed(then, count)


def partitions_changed(then: int, now: int) -> Misconfigured:
    return Misconfigured("the topics' number of partitions has changed", hint=GROW_HINT, was=then, found=now)
