"""A process to kill: it applies numbered commits to three tables until it dies, and says which it has applied.

Commit n sets `always` and `k<n mod 50>` of each table to n and deletes `gone` in every other commit, so that the
whole content of a store follows from its position alone: see `expected`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from hashlib import shake_128
from pathlib import Path

from pipeline.state.api import Position, Restoring, StoreIdentity, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.rocks import RocksStore

TABLES = ("a", "b", "c")
IDENTITY = StoreIdentity("app", "1", 0, dict.fromkeys(TABLES, "id"), "s")
KEYS = 50
BODY_BYTES = 2_000


def value(table: str, number: int) -> bytes:
    name = b"%s:%d:" % (table.encode(), number)
    return seal(name + shake_128(name).digest(BODY_BYTES))  # so that no block of a file is compressed to nothing


def commit(number: int) -> tuple[WriteSet, Position]:
    """Commit `number`, from 1 on."""
    writes = WriteSet()
    for table in TABLES:
        rows: dict[bytes, bytes | None] = {
            b"always": value(table, number),
            b"k%02d" % (number % KEYS): value(table, number),
            b"gone": value(table, number) if number % 2 else None,
        }
        writes.rows[table] = rows
    return writes, Position(number, dict.fromkeys(TABLES, number), number)


def expected(number: int) -> Mapping[str, Mapping[bytes, bytes]]:
    """The whole content after commit `number`."""
    tables: dict[str, dict[bytes, bytes]] = {table: {} for table in TABLES}
    for each in range(max(1, number - KEYS - 1), number + 1):
        for table, rows in commit(each)[0].rows.items():
            for key, sealed in rows.items():
                if sealed is None:
                    tables[table].pop(key, None)
                else:
                    tables[table][key] = sealed
    return tables


def main(directory: str, act: str) -> None:
    store = RocksStore.open(Path(directory), IDENTITY, TABLES)
    if act == "apply":
        number = store.position.source_next
        while True:
            number += 1
            store.apply(*commit(number))
            os.write(1, b"%d\n" % number)
    elif act == "restore":
        # Dies between a chunk's ingest and its position, which `restore_rows` writes last.
        store.begin_restore(Restoring(dict.fromkeys(TABLES, 99)))
        store.restore_rows(_chunk(1), Position(0, dict.fromkeys(TABLES, 40), 1), done=False)
        store._write = lambda *_: os.kill(os.getpid(), 9)  # type: ignore[method-assign]
        store.restore_rows(_chunk(2), Position(99, dict.fromkeys(TABLES, 99), 2), done=True)


def _chunk(number: int) -> dict[str, dict[bytes, bytes | None]]:
    return {table: {b"%06d" % row: seal(b"%d" % number) for row in range(20_000)} for table in TABLES}


if __name__ == "__main__":
    main(*sys.argv[1:])
