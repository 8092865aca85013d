"""The store on disk: RocksDB by way of rocksdict, which is imported in `rocks*.py` and nowhere else."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
from rocksdict import AccessType, Checkpoint, Rdict, WriteBatch

from pipeline.errors import PipelineError, StateUnusable
from pipeline.state.api import Position, Restoring, StoreIdentity, StoreSize, StoreView, WriteSet
from pipeline.state.envelope import seal, unseal
from pipeline.state.identity import check_identity, read_identity, sync_directory, write_identity
from pipeline.state.lock import DirectoryLock
from pipeline.state.rocks_chain import WriteChain
from pipeline.state.rocks_errors import from_os_error, translated
from pipeline.state.rocks_frames import check_frames
from pipeline.state.rocks_ingest import INGEST_FROM_ROWS, ingest
from pipeline.state.rocks_options import store_options
from pipeline.state.rocks_view import RocksView

LOCK_FILE = "lock"
DATABASE = "rocksdb"
"""The directory of the database, within a store's or a checkpoint's."""
_INGEST = "ingest"
_SCRATCH = "scratch"
_METADATA = "metadata"
_POSITION = b"position"
_RESTORING = b"restoring"
MID_RESTORE = "a store in mid-restore is no prefix"
_TABLE = "table:"
_ESTIMATED_KEYS = "rocksdb.estimate-num-keys"

CLOSE_TIMEOUT_S = 5.0
"""How long `close` waits for readers before it closes under them."""


class RocksStore:
    """One partition's state on disk. Values and position move together or not at all.

    A directory holds the lock, the identity, the database and, for moments, files about to be ingested. The database
    has a column family a table, and one for the position and the mark of a restore.
    """

    def __init__(
        self,
        directory: Path,
        identity: StoreIdentity,
        tables: Sequence[str],
        lock: DirectoryLock,
        ingested: Callable[[], None],
    ) -> None:
        """For `open` alone."""
        self._directory = directory
        self._ingested = ingested
        self._identity = identity
        self._lock = lock
        self._db, self._position, self._restoring, chain = _open_database(directory, tables, AccessType.read_write())
        self._tables = {table: self._db.get_column_family(_TABLE + table) for table in tables}
        self._handles = {table: self._db.get_column_family_handle(_TABLE + table) for table in tables}
        self._metadata = self._db.get_column_family(_METADATA)
        self._metadata_handle = self._db.get_column_family_handle(_METADATA)
        self._chain = chain
        self._moment = threading.Lock()
        """Held while values and position change, and while a reader takes both."""
        self._readers_gone = threading.Condition()
        self._readers: set[RocksView] = set()
        self._closing = False

    @classmethod
    def open(
        cls,
        directory: Path,
        identity: StoreIdentity,
        tables: Sequence[str],
        ingested: Callable[[], None] = lambda: None,
    ) -> RocksStore:
        """The store of this directory, made when there is none. `ingested`: called between an ingest and its position.

        Raises StateLocked when another has it open, StateTooNew for the store of newer software (not
        touched), StateUnusable for one that is to be put in quarantine and rebuilt.
        """
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = DirectoryLock(directory / LOCK_FILE)
        except OSError as error:
            raise from_os_error(error, directory) from error
        try:
            found = read_identity(directory)
            if found is not None:
                check_identity(directory, found, identity)
            elif (directory / DATABASE).exists():
                raise StateUnusable("the store has lost its identity", directory=directory)
            else:
                write_identity(directory, identity)
            for left_over in (_INGEST, _SCRATCH):
                shutil.rmtree(directory / left_over, ignore_errors=True)
            return cls(directory, identity, tables, lock, ingested)
        except OSError as error:
            lock.release()
            raise from_os_error(error, directory) from error
        except BaseException:
            lock.release()
            raise

    @property
    def directory(self) -> Path:
        return self._directory

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
        rows = self._table(table)
        try:
            return rows.get(key)
        except Exception as error:
            raise translated(error, self._directory) from error

    def get_many(self, table: str, keys: Sequence[bytes]) -> list[bytes | None]:
        rows = self._table(table)
        try:
            return rows.get(list(keys)) or []
        except Exception as error:
            raise translated(error, self._directory) from error

    def apply(self, writes: WriteSet, position: Position) -> None:
        """Move to `position`: one atomic batch of all tables and the position, which survives the process at once."""
        self._write(self._batch(writes.rows), position)
        if self._chain.flush_due:
            self._settle()

    def begin_restore(self, target: Restoring) -> None:
        """Mark the store as in mid-restore, in its SST files: an ingest goes around the WAL, so must the mark."""
        batch = self._batch({})
        batch.put(_RESTORING, seal(msgspec.msgpack.encode(target)), self._metadata_handle)
        try:
            with self._moment:
                self._db.write(batch)
                self._restoring = target
        except Exception as error:
            raise translated(error, self._directory) from error
        self._settle()

    def restore_rows(self, rows: Mapping[str, Mapping[bytes, bytes | None]], position: Position, *, done: bool) -> None:
        """Take a chunk of changelog, with the position that it reaches; `done` removes the mark.

        Large tables go in as sorted files, around the WAL; the position follows, synced. A crash in between leaves
        the mark and the older position, from which the same records may be taken again.
        """
        if self._restoring is None:
            raise StateUnusable("rows restored into a store that was not marked", directory=self._directory)
        large = {table: changes for table, changes in rows.items() if len(changes) >= INGEST_FROM_ROWS}
        batch = self._batch({table: changes for table, changes in rows.items() if table not in large})
        if done:
            batch.delete(_RESTORING, self._metadata_handle)
        else:  # each chunk brings the mark along: no position of a restore is ever read without it
            batch.put(_RESTORING, seal(msgspec.msgpack.encode(self._restoring)), self._metadata_handle)
        try:
            for table, changes in large.items():
                ingest(self._tables[table], changes, self._directory / _INGEST)
            if large:
                self._ingested()
            self._write(batch, position)
        except PipelineError:
            raise
        except Exception as error:
            raise translated(error, self._directory) from error
        # Where the ingested files are is the position's place too: a log that outlived them would say too much.
        self._settle()
        if done:
            self._restoring = None

    @contextmanager
    def view(self) -> Iterator[StoreView]:
        """Values and position of this instant, for the calling thread, until it leaves."""
        with self._moment:
            self._check_open()
            reader = RocksView(self._directory, self._tables, self._position, whole=self._restoring is None)
            self._readers.add(reader)
        try:
            yield reader
        finally:
            with self._readers_gone:
                reader.release()
                self._readers.discard(reader)
                self._readers_gone.notify_all()

    def checkpoint(self, directory: Path) -> Position:
        """A synced copy by hard links into a directory that does not exist yet; returns the position it holds."""
        with self._moment:
            self._check_open()
            if self._restoring is not None:
                raise StateUnusable(MID_RESTORE, directory=self._directory)
            directory.mkdir(mode=0o700, parents=True)
            try:
                Checkpoint(self._db).create_checkpoint(str(directory / DATABASE))
            except Exception as error:
                shutil.rmtree(directory, ignore_errors=True)
                raise translated(error, self._directory) from error
            position = self._position
        write_identity(directory, self._identity)
        sync_directory(directory.parent)
        return position

    def sync(self) -> None:
        """Make what was applied survive a power cut."""
        self._check_open()
        try:
            self._db.flush_wal(sync=True)
        except Exception as error:
            raise translated(error, self._directory) from error

    def size(self) -> StoreSize:
        """Of its files, whatever is in them: rows, their log, and what was overwritten and not yet compacted."""
        with self._moment:
            self._check_open()
            try:
                keys = {name: table.property_int_value(_ESTIMATED_KEYS) or 0 for name, table in self._tables.items()}
            except Exception as error:
                raise translated(error, self._directory) from error
        return StoreSize(sum(_sizes(self._directory / DATABASE)), keys)

    def close(self) -> None:
        """Sync, wait for readers (at most CLOSE_TIMEOUT_S), and let go of the directory. A second call does nothing."""
        with self._moment:
            if self._closing:
                return
            self._closing = True
        until = time.monotonic() + CLOSE_TIMEOUT_S
        with self._readers_gone:
            while self._readers and (left := until - time.monotonic()) > 0:
                self._readers_gone.wait(left)
            for reader in self._readers:
                reader.release()
        try:
            self._settle()
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """Close the database, which its last handle does, and only then give the lock back."""
        self._tables.clear()
        self._handles.clear()
        del self._metadata, self._metadata_handle
        try:
            self._db.close()
        except Exception as error:
            raise translated(error, self._directory) from error
        finally:
            self._lock.release()

    def _table(self, name: str) -> Rdict:
        self._check_open()
        return self._tables[name]

    def _check_open(self) -> None:
        if self._closing:
            raise StateUnusable("the store is closed", directory=self._directory)

    def _batch(self, rows: Mapping[str, Mapping[bytes, bytes | None]]) -> WriteBatch:
        self._check_open()
        batch = WriteBatch(raw_mode=True)
        put, delete = batch.put, batch.delete
        for table, changes in rows.items():
            handle = self._handles[table]
            for key, value in changes.items():
                if value is None:
                    delete(key, handle)
                else:
                    put(key, value, handle)
        return batch

    def _write(self, batch: WriteBatch, position: Position) -> None:
        self._chain.extend(batch, self._metadata_handle)
        batch.put(_POSITION, seal(msgspec.msgpack.encode(position)), self._metadata_handle)
        try:
            with self._moment:
                self._db.write(batch)
                self._position = position
        except Exception as error:
            raise translated(error, self._directory) from error

    def _settle(self) -> None:
        """Everything into SST files, all column families in one step, as only a checkpoint does it.

        rocksdict flushes one column family at a time, even with atomic flush on: a crash in between leaves files in
        which the tables say more than the position.
        """
        scratch = self._directory / _SCRATCH
        shutil.rmtree(scratch, ignore_errors=True)
        try:
            self._db.flush_wal(sync=True)
            Checkpoint(self._db).create_checkpoint(str(scratch))
        except Exception as error:
            raise translated(error, self._directory) from error
        shutil.rmtree(scratch, ignore_errors=True)


def _sizes(directory: Path) -> Iterator[int]:
    """Of the files that are there; a compaction may take one away meanwhile."""
    for file in directory.iterdir():
        with suppress(FileNotFoundError):
            yield file.stat().st_size


@contextmanager
def open_checkpoint(directory: Path, tables: Sequence[str]) -> Iterator[StoreView]:
    """Read what `RocksStore.checkpoint` wrote. StateUnusable when it cannot be trusted."""
    read_only = AccessType.read_only(error_if_log_file_exist=False)
    db, position, restoring, _ = _open_database(directory, tables, read_only)
    try:
        if restoring is not None:
            raise StateUnusable(MID_RESTORE, directory=directory)
        families = {name: db.get_column_family(_TABLE + name) for name in tables}
        view = RocksView(directory, families, position, whole=True)
        try:
            yield view
        finally:
            view.release()
            families.clear()
    finally:
        db.close()


def _open_database(
    directory: Path, tables: Sequence[str], access: AccessType
) -> tuple[Rdict, Position, Restoring | None, WriteChain]:
    path = directory / DATABASE
    # A database that has lost its CURRENT file must not be taken for a new one.
    options = store_options(create=not path.exists())
    check_frames(path)
    families = dict.fromkeys((_METADATA, *(_TABLE + table for table in tables)), options)
    try:
        db = Rdict(str(path), options, column_families=families, access_type=access)
    except Exception as error:
        raise translated(error, directory) from error
    try:
        return db, *_read_metadata(db.get_column_family(_METADATA))
    except StateUnusable:
        db.close()
        raise
    except Exception as error:
        db.close()
        raise translated(error, directory) from error


def _read_metadata(metadata: Rdict) -> tuple[Position, Restoring | None, WriteChain]:
    position, restoring = metadata.get([_POSITION, _RESTORING]) or [None, None]
    return (
        msgspec.msgpack.decode(unseal(position), type=Position) if position is not None else Position(),
        msgspec.msgpack.decode(unseal(restoring), type=Restoring) if restoring is not None else None,
        WriteChain(metadata),
    )
