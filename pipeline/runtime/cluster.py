"""What a worker has to know of its topics before it joins."""

from __future__ import annotations

from typing import NamedTuple

from operators.topology import AggregateStage, Stage
from pipeline.errors import Misconfigured
from pipeline.log.api import Admin


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
