"""Where a worker's stores live: DATA_DIR/APPLICATION/WORKER/PARTITION.

Each part is a name that was checked, so no topic, prefix or id leads anywhere else. Everything below DATA_DIR is for
this user alone.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from pipeline.errors import Misconfigured, StateLocked
from pipeline.state.api import StoreIdentity
from pipeline.state.identity import sync_directory
from pipeline.state.lock import DirectoryLock
from pipeline.state.rocks import LOCK_FILE, RocksStore
from pipeline.state.rocks_errors import from_os_error

QUARANTINES_KEPT = 3
"""Of each worker: enough to look into what happened, too few to fill the disk."""

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}")
_UNNAMED = "unnamed~"
"""Workers without an id share seats: `~` is in no id."""
_QUARANTINE = "quarantine"
_WHY = "WHY"
_INCOMING = "incoming"


class StateDirectory:
    """The directory of one worker, held by it alone until `release` or its death."""

    def __init__(self, path: Path, lock: DirectoryLock) -> None:
        """For `claim` alone."""
        self.path = path
        self.ingested: Callable[[], None] = lambda: None
        """For tests: what its stores call between an ingest and its position."""
        self._lock = lock
        self._numbers = count()

    @classmethod
    def claim(cls, data_dir: Path, application: str, worker_id: str | None) -> StateDirectory:
        """The directory of this worker; without an id, the first that no living worker holds, warm or new.

        Raises StateLocked when another process is the worker of this id, Misconfigured for names and directories
        that cannot be used.
        """
        root = _made(data_dir, application)
        claimed = cls(*(_seat(root, _checked(worker_id)) if worker_id else _free_seat(root)))
        claimed.discard(claimed.path / _INCOMING)  # what a dead worker had not received whole
        return claimed

    def partition(self, partition: int) -> Path:
        """Where a partition's store is, or is to be."""
        return self.path / f"{partition:d}"

    def open(self, identity: StoreIdentity, tables: Sequence[str]) -> RocksStore:
        """The store of a partition, as `RocksStore.open` gives it."""
        return RocksStore.open(self.partition(identity.partition), identity, tables, self.ingested)

    def quarantine(self, partition: int, why: str) -> Path | None:
        """Move a store that cannot be trusted aside, with a file that says why; where to, or None if there was none.

        The oldest beyond QUARANTINES_KEPT are deleted. StateLocked when the store is still open.
        """
        store = self.partition(partition)
        if not store.exists():
            return None
        lock = DirectoryLock(store / LOCK_FILE)
        try:
            aside = self.path / _QUARANTINE
            _make_private(aside)
            target = aside / f"{partition:d}-{time.time_ns() // 1_000_000}"
            (store / _WHY).write_text(why + "\n")
            store.rename(target)
        finally:
            lock.release()
        for old in sorted(aside.iterdir(), key=lambda path: path.stat().st_mtime_ns)[:-QUARANTINES_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return target

    def quarantined(self) -> int:
        """How many stores were put aside and still are there."""
        aside = self.path / _QUARANTINE
        return sum(1 for _ in aside.iterdir()) if aside.is_dir() else 0

    def incoming(self, partition: int) -> Path:
        """Where a store that comes from elsewhere may be put together. It does not exist, and is nobody's store."""
        aside = self.path / _INCOMING
        _make_private(aside)
        return aside / f"{partition:d}-{next(self._numbers)}"

    def discard(self, received: Path) -> None:
        """What came to `incoming` is not needed."""
        shutil.rmtree(received, ignore_errors=True)

    def place(self, partition: int, received: Path) -> None:
        """Put what came to `incoming` in place of the partition's store, which is closed and goes.

        A crash in between leaves no store, which is a restore from nothing.
        """
        try:
            self.remove(partition)
            received.rename(self.partition(partition))
            sync_directory(self.path)
        except OSError as error:
            raise from_os_error(error, received) from error

    def remove(self, partition: int) -> None:
        """Delete a store, if there is one. StateLocked when it is still open."""
        store = self.partition(partition)
        if store.exists():
            lock = DirectoryLock(store / LOCK_FILE)
            try:
                shutil.rmtree(store)
            finally:
                lock.release()

    def release(self) -> None:
        self._lock.release()


def remove_stores(data_dir: Path, application: str) -> list[Path]:
    """Delete the stores of every worker of an application, quarantine included; returns the directories that went.

    StateLocked, before anything is deleted, when one of the workers runs.
    """
    root = data_dir / _checked(application)
    if not root.is_dir():
        return []
    workers = sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())
    locks: list[DirectoryLock] = []
    try:
        for worker in workers:
            locks.append(DirectoryLock(worker / LOCK_FILE))
        shutil.rmtree(root)
    finally:
        for lock in locks:
            lock.release()
    return workers


def _made(data_dir: Path, application: str) -> Path:
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        root = data_dir / _checked(application)
        _make_private(root)
    except OSError as error:
        raise from_os_error(error, data_dir) from error
    return root


def _seat(root: Path, name: str) -> tuple[Path, DirectoryLock]:
    path = root / name
    try:
        _make_private(path)
        return path, DirectoryLock(path / LOCK_FILE)
    except OSError as error:
        raise from_os_error(error, path) from error


def _free_seat(root: Path) -> tuple[Path, DirectoryLock]:
    for number in count():
        try:
            return _seat(root, f"{_UNNAMED}{number}")
        except StateLocked:
            continue
    raise AssertionError


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Misconfigured(
            "a name that cannot be a directory",
            hint="prefix, topology, stage and id are letters, digits, '.', '_' and '-', and begin with no '.'",
            name=repr(name),
        )
    return name


def _make_private(path: Path) -> None:
    """Make a directory of this user, or take the one that is there; no link that somebody laid."""
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise Misconfigured(
            "not a directory of this user",
            hint="stores are kept in directories that the worker made itself",
            directory=path,
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        path.chmod(0o700)
