"""Disks of simulated machines: they outlive the process that dies, until somebody loses them."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from pipeline.errors import PipelineError, StateLocked, StateUnusable
from pipeline.state.api import Store, Stores, StoreView
from pipeline.state.directory import StateDirectory
from pipeline.state.memory import MemoryStores
from pipeline.state.rocks import RocksStore, open_checkpoint

COPY_PAUSE_S = 0.001

Ingested = Callable[[], None]


class Disk(Protocol):
    """One worker's disk."""

    def claim(self, application: str, worker_id: str, ingested: Ingested) -> Stores:
        """For a process that starts; StateLocked while another that lives, or stands still, has it."""
        ...

    def crash(self, stores: Iterable[Store]) -> None:
        """The process that had these open is no more: what it gave to the system is there, and nothing else."""
        ...

    def partitions(self) -> list[int]:
        """Those that have a store here."""
        ...

    @contextmanager
    def look(self, partition: int, tables: Sequence[str]) -> Iterator[StoreView | None]:
        """What a store holds that nobody has open; None in mid-restore, when it equals nothing."""
        ...

    def lose(self) -> None: ...


class MemoryDisk(MemoryStores):
    """Keeps what was applied. The quick one."""

    def __init__(self) -> None:
        super().__init__()
        self._claimed = False

    def claim(self, application: str, worker_id: str, ingested: Ingested) -> Stores:  # noqa: ARG002
        if self._claimed:
            raise StateLocked("another process has this disk", worker=worker_id)
        self._claimed = True
        return self

    def release(self) -> None:
        self._claimed = False

    def crash(self, stores: Iterable[Store]) -> None:  # noqa: ARG002
        self._claimed = False

    def partitions(self) -> list[int]:
        return sorted(self.stores)

    @contextmanager
    def look(self, partition: int, tables: Sequence[str]) -> Iterator[StoreView | None]:  # noqa: ARG002
        store = self.stores[partition]
        yield store.look() if store.restoring is None else None

    def lose(self) -> None:
        self.stores = {}


class RocksDisk:
    """Real RocksDB stores in a directory. A crash leaves them as kill -9 does: what a process wrote is there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._claimed: StateDirectory | None = None

    def claim(self, application: str, worker_id: str, ingested: Ingested) -> Stores:
        self._claimed = StateDirectory.claim(self._root, application, worker_id)
        self._claimed.ingested = ingested
        return self._claimed

    def crash(self, stores: Iterable[Store]) -> None:
        """The files as they are at this moment go aside; closing a database, which no crash does, spoils the others."""
        for store in stores:
            assert isinstance(store, RocksStore)  # noqa: S101 - there are no others on this disk
            directory = store.directory
            aside = directory.with_name(f"{directory.name}~crashed")
            _copy(directory, aside)
            with suppress(PipelineError):
                store.close()
            shutil.rmtree(directory)
            aside.rename(directory)
        if self._claimed is not None:
            self._claimed.release()

    def partitions(self) -> list[int]:
        return sorted(self._directories())

    def _directories(self) -> dict[int, Path]:
        return {int(path.name): path for path in self._root.glob("*/*/*") if path.name.isdigit()}

    @contextmanager
    def look(self, partition: int, tables: Sequence[str]) -> Iterator[StoreView | None]:
        directory = self._directories()[partition]
        try:
            opened = open_checkpoint(directory, tables)
            view = opened.__enter__()
        except StateUnusable:
            yield None
            return
        try:
            yield view
        finally:
            opened.__exit__(None, None, None)

    def lose(self) -> None:
        shutil.rmtree(self._root, ignore_errors=True)


def _copy(directory: Path, aside: Path) -> None:
    """As of one moment: once more, for as long as the database's own threads change files meanwhile."""
    while True:
        before = _files(directory)
        try:
            shutil.copytree(directory, aside)
        except (shutil.Error, OSError):
            pass
        else:
            if _files(directory) == before:
                return
        shutil.rmtree(aside, ignore_errors=True)
        time.sleep(COPY_PAUSE_S)


def _files(directory: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):
            status = path.stat()
            found[str(path)] = status.st_size, status.st_mtime_ns
    return found
