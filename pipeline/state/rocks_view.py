"""A RocksDB store at one instant.

Built on iterators, because an iterator is pinned to the moment it was made; rocksdict's `Snapshot.iter` is not (seen
in 0.3.29: it reads newer writes), and its `Snapshot[key]` tells a missing key from an error by text alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rocksdict import Rdict, RdictIter

from pipeline.errors import StateUnusable
from pipeline.state.api import Position
from pipeline.state.rocks_errors import translated

_ROWS_AT_A_TIME = 512


class RocksView:
    """Values and position of one instant, for one thread."""

    def __init__(self, directory: Path, tables: Mapping[str, Rdict], position: Position, *, whole: bool) -> None:
        self._directory = directory
        self.whole = whole
        self._position = position
        try:
            self._iterators = {name: table.iter() for name, table in tables.items()}
        except Exception as error:
            raise translated(error, directory) from error

    @property
    def position(self) -> Position:
        return self._position

    def get(self, table: str, key: bytes) -> bytes | None:
        iterator = self._iterator(table)
        iterator.seek(key)
        if iterator.valid():
            return iterator.value() if iterator.key() == key else None
        self._check(iterator)
        return None

    def scan(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop, in byte order; other reads of the view may come in between."""
        while True:
            rows = self._rows(table, start, stop)
            yield from rows
            if len(rows) < _ROWS_AT_A_TIME:
                return
            start = rows[-1][0] + b"\0"

    def release(self) -> None:
        """Let the store go; reads from here on raise StateUnusable."""
        self._iterators.clear()

    def _rows(self, table: str, start: bytes, stop: bytes | None) -> list[tuple[bytes, bytes]]:
        iterator = self._iterator(table)
        valid, key_of, value_of, advance = iterator.valid, iterator.key, iterator.value, iterator.next
        rows: list[tuple[bytes, bytes]] = []
        iterator.seek(start)
        while valid():
            key = key_of()
            if stop is not None and key >= stop:
                return rows
            rows.append((key, value_of()))
            if len(rows) == _ROWS_AT_A_TIME:
                return rows
            advance()
        self._check(iterator)  # an iterator that met a bad block just ends
        return rows

    def _iterator(self, table: str) -> RdictIter:
        if not self._iterators:
            raise StateUnusable("the store was closed under its reader", directory=self._directory)
        return self._iterators[table]

    def _check(self, iterator: RdictIter) -> None:
        try:
            iterator.status()
        except Exception as error:
            raise translated(error, self._directory) from error
