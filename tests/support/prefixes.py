"""P2: a store is a committed prefix and knows which. Its digest against that of the changelogs up to its position."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from operators.topology import AggregateStage
from pipeline.errors import StateUnusable
from pipeline.state.digest import digest
from pipeline.state.rocks import MID_RESTORE, open_checkpoint
from tests.support.cluster import Cluster
from tests.support.records import StoredRecord


def assert_stores_are_prefixes(cluster: Cluster, stage: AggregateStage) -> int:
    """Every store that any worker of the stage left on a disk; returns how many there were. No worker may run.

    One that was given away in mid-restore says so itself, and is none of them: nobody would take it for a prefix.
    """
    tables = {table.name: cluster.records(table.changelog) for table in stage.tables}
    checked = 0
    for directory in stores(cluster, stage):
        try:
            with open_checkpoint(directory, list(tables)) as view:
                folded = digest_of_changelogs(tables, int(directory.name), view.position.changelog_next)
                assert digest(view, tables) == folded, f"{directory} is no prefix of its changelogs"
        except StateUnusable as error:
            if error.message != MID_RESTORE:
                raise
        else:
            checked += 1
    return checked


def stores(cluster: Cluster, stage: AggregateStage) -> Iterator[Path]:
    """The directories of stores, of every worker; not those in quarantine."""
    root = cluster.disk(stage.name, "any").parent
    return (path for path in sorted(root.glob("*/*")) if path.name.isdigit())


def digest_of_changelogs(
    tables: dict[str, list[StoredRecord]], partition: int, until: dict[str, int] | None = None
) -> str:
    """A state's digest by its definition, from the records alone; folded up to these offsets, or to the end."""
    total = hashlib.sha256()
    for table, records in sorted(tables.items()):
        rows: dict[bytes, bytes] = {}
        for record in records:
            if record.partition == partition and (until is None or record.offset < until.get(table, 0)):
                assert record.key is not None
                if record.value is None:
                    rows.pop(record.key, None)
                else:
                    rows[record.key] = record.value
        for key, value in sorted(rows.items()):
            for part in (table.encode(), key, value):
                total.update(len(part).to_bytes(4, "big") + part)
    return total.hexdigest()
