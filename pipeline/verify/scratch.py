"""The replayed state, in SQLite: a B-tree of another make than the store's, with memory bounded by its page cache."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_PAGE_CACHE_KIB = 65_536
_BUFFERED_ROWS = 200_000
"""Of a table, before they are sorted and written: a key that changes often is written seldom."""


class Scratch:
    """Tables of key and sealed value. Unsafe across a crash, which is what scratch is for."""

    def __init__(self, directory: Path, tables: Sequence[str]) -> None:
        self._numbers = {table: number for number, table in enumerate(sorted(tables))}
        self._buffers: dict[str, dict[bytes, bytes | None]] = {table: {} for table in tables}
        self._database = sqlite3.connect(directory / "replay.sqlite", isolation_level=None)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "locking_mode=EXCLUSIVE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute(f"PRAGMA cache_size=-{_PAGE_CACHE_KIB}")
        self._database.execute(
            'CREATE TABLE row ("table" INTEGER, key BLOB, value BLOB, PRIMARY KEY ("table", key)) WITHOUT ROWID'
        )
        self._database.execute("BEGIN")

    def write(self, table: str, changes: Mapping[bytes, bytes | None]) -> None:
        """Put rows, and delete those whose value is None."""
        buffer = self._buffers[table]
        buffer.update(changes)
        if len(buffer) >= _BUFFERED_ROWS:
            self._flush(table)

    def get(self, table: str, key: bytes) -> bytes | None:
        buffer = self._buffers[table]
        if key in buffer:
            return buffer[key]
        query = 'SELECT value FROM row WHERE "table" = ? AND key = ?'
        found = self._database.execute(query, (self._numbers[table], key)).fetchone()
        return None if found is None else found[0]

    def rows(self, table: str) -> Iterator[tuple[bytes, bytes]]:
        """In byte order of the key, as SQLite compares blobs."""
        self._flush(table)
        query = 'SELECT key, value FROM row WHERE "table" = ? ORDER BY key'
        yield from self._database.execute(query, (self._numbers[table],))

    def digest(self) -> str:
        """As `pipeline.state.digest` defines it, written anew: one mistake must not be made twice."""
        total = hashlib.sha256()
        for table in sorted(self._numbers):
            for key, value in self.rows(table):
                for part in (table.encode(), key, value):
                    total.update(len(part).to_bytes(4, "big"))
                    total.update(part)
        return total.hexdigest()

    def close(self) -> None:
        self._database.close()

    def _flush(self, table: str) -> None:
        number, buffer = self._numbers[table], self._buffers[table]
        puts = ((number, key, buffer[key]) for key in sorted(buffer) if buffer[key] is not None)
        deletions = ((number, key) for key, value in buffer.items() if value is None)
        self._database.executemany("INSERT OR REPLACE INTO row VALUES (?, ?, ?)", puts)
        self._database.executemany('DELETE FROM row WHERE "table" = ? AND key = ?', deletions)
        buffer.clear()
