"""The store in memory: the same contract, for folds that need no disk."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import msgspec

from pipeline.errors import StateForeign, StateUnusable
from pipeline.state.api import Position, Restoring, StoreIdentity, StoreSize, StoreView, WriteSet
from pipeline.state.envelope import seal, unseal

_CHECKPOINT = "memory-checkpoint"

Rows = dict[bytes, bytes]


class _Snapshot(msgspec.Struct):
    position: Position
    tables: dict[str, Rows]


class MemoryView:
    """The tables at one instant; nobody may change these any more."""

    def __init__(self, tables: Mapping[str, Rows], position: Position, *, whole: bool = True) -> None:
        self._tables = tables
        self.whole = whole
        self._position = position

    @property
    def position(self) -> Position:
        return self._position

    def get(self, table: str, key: bytes) -> bytes | None:
        return self._tables[table].get(key)

    def scan(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        rows = self._tables[table]
        keys = sorted(rows)
        end = len(keys) if stop is None else bisect_left(keys, stop)
        for key in keys[bisect_left(keys, start) : end]:
            yield key, rows[key]


class MemoryStores:
    """`pipeline.state.api.Stores` of one worker in memory: it plays the disk, and outlives the worker that dies."""

    def __init__(self) -> None:
        self.stores: dict[int, MemoryStore] = {}
        """By partition."""

    def open(self, identity: StoreIdentity, tables: Sequence[str]) -> MemoryStore:
        store = self.stores.get(identity.partition)
        if store is None:
            store = self.stores[identity.partition] = MemoryStore(identity, tables)
        elif store.identity != identity:
            raise StateForeign("the store of another pipeline or partition, or of topics made anew")
        store.reopen(tables)
        return store

    def quarantine(self, partition: int, why: str) -> Path | None:  # noqa: ARG002
        """It is gone: nobody looks into a quarantine in memory."""
        self.stores.pop(partition, None)
        return None

    def quarantined(self) -> int:
        """There is no quarantine."""
        return 0

    def release(self) -> None:
        """Nothing to release."""


class MemoryStore:
    """One partition's state in memory, lost with the process."""

    def __init__(self, identity: StoreIdentity, tables: Sequence[str]) -> None:
        self._identity = identity
        self._tables: dict[str, Rows] = {table: {} for table in tables}
        self._position = Position()
        self._restoring: Restoring | None = None
        self._moment = Lock()
        self._views = 0
        """That are looked at, and must not change."""
        self._closed = False

    @property
    def identity(self) -> StoreIdentity:
        return self._identity

    @property
    def position(self) -> Position:
        return self._position

    @property
    def restoring(self) -> Restoring | None:
        return self._restoring

    def get(self, table: str, key: bytes) -> bytes | None:
        self._check_open()
        return self._tables[table].get(key)

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        self._check_open()
        rows = self._tables[table]
        return [rows.get(key) for key in keys]

    def apply(self, writes: WriteSet, position: Position) -> None:
        self._move(writes.rows, position)

    def begin_restore(self, target: Restoring) -> None:
        self._check_open()
        self._restoring = target

    def restore_rows(self, rows: Mapping[str, Mapping[bytes, bytes | None]], position: Position, *, done: bool) -> None:
        if self._restoring is None:
            raise StateUnusable("rows restored into a store that was not marked")
        self._move(rows, position)
        if done:
            self._restoring = None

    @contextmanager
    def view(self) -> Iterator[StoreView]:
        with self._moment:
            self._check_open()
            view = MemoryView(dict(self._tables), self._position, whole=self._restoring is None)
            self._views += 1
        try:
            yield view
        finally:
            with self._moment:
                self._views -= 1

    def checkpoint(self, directory: Path) -> Position:
        with self._moment:
            self._check_open()
            if self._restoring is not None:
                raise StateUnusable("a store in mid-restore is no prefix")
            snapshot = _Snapshot(self._position, self._tables)
            directory.mkdir(mode=0o700, parents=True)
            (directory / _CHECKPOINT).write_bytes(seal(msgspec.msgpack.encode(snapshot)))
            return self._position

    def sync(self) -> None:
        self._check_open()

    def size(self) -> StoreSize:
        """Of keys and values, had they been written down."""
        self._check_open()
        with self._moment:
            rows = {name: list(table.items()) for name, table in self._tables.items()}
        used = sum(len(key) + len(value) for table in rows.values() for key, value in table)
        return StoreSize(used, {name: len(table) for name, table in rows.items()})

    def close(self) -> None:
        self._closed = True

    def reopen(self, tables: Sequence[str] = ()) -> None:
        """As it was when it was closed, or when its process died; tables that are new to it are empty."""
        self._closed = False
        for table in tables:
            self._tables.setdefault(table, {})

    def look(self) -> StoreView:
        """What is in it, open or closed, for those who examine the disk of a worker that is gone."""
        return MemoryView({name: dict(rows) for name, rows in self._tables.items()}, self._position)

    def _move(self, rows: Mapping[str, Mapping[bytes, bytes | None]], position: Position) -> None:
        self._check_open()
        for table in rows:
            self._tables[table]  # an unknown table changes nothing
        with self._moment:
            if self._views:
                # What is looked at stays as it was, and the changes go into a copy.
                self._tables |= {table: dict(self._tables[table]) for table in rows}
            for table, changes in rows.items():
                target = self._tables[table]
                for key, value in changes.items():
                    if value is None:
                        target.pop(key, None)
                    else:
                        target[key] = value
            self._position = position

    def _check_open(self) -> None:
        if self._closed:
            raise StateUnusable("the store is closed")


def read_memory_checkpoint(directory: Path) -> StoreView:
    """What `MemoryStore.checkpoint` wrote; StateUnusable when it cannot be read."""
    try:
        snapshot = msgspec.msgpack.decode(unseal((directory / _CHECKPOINT).read_bytes()), type=_Snapshot)
    except (OSError, msgspec.DecodeError) as error:
        raise StateUnusable("the checkpoint cannot be read", directory=directory) from error
    return MemoryView(snapshot.tables, snapshot.position)
