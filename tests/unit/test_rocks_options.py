"""What a store's files look like: what decides it is seen in them."""

from __future__ import annotations

import re
from pathlib import Path

from pipeline.state.api import Position, Restoring, StoreIdentity, WriteSet
from pipeline.state.rocks import RocksStore
from pipeline.state.rocks_ingest import INGEST_FROM_ROWS

ROWS = 20_000


def test_index_and_filter_of_a_file_are_in_parts_however_the_file_came_to_be(tmp_path: Path) -> None:
    """A whole one of a million rows is larger than what a shard of the block cache takes: it would never be kept."""
    assert ROWS > INGEST_FROM_ROWS
    rows: dict[bytes, bytes | None] = {b"device-%06d" % number: bytes(100) for number in range(ROWS)}
    identity = StoreIdentity("a", "1", 0, {"flushed": "x", "ingested": "y"}, "source")
    store = RocksStore.open(tmp_path / "store", identity, ["flushed", "ingested"])
    store.apply(WriteSet({"flushed": rows}), Position(1))
    store._settle()
    store.begin_restore(Restoring({"flushed": 1, "ingested": 1}))
    store.restore_rows({"ingested": rows}, Position(2), done=True)
    for table in ("flushed", "ingested"):
        properties = store._tables[table].property_value("rocksdb.aggregated-table-properties")
        assert properties is not None
        assert f"# entries={ROWS};" in properties
        parts = re.search(r"# index partitions=(\d+)", properties)
        assert parts is not None
        assert int(parts[1]) > 1, properties
    store.close()
