"""A worker's tables, served by a process of its own that follows the worker's stores: RocksDB's secondary instances.

    python -m benchmarks.secondary DIRECTORY

Settings are those of the worker, of which DIRECTORY holds the stores. Prints its address. The HTTP is the worker's own,
to the last layer; what differs is where a row comes from. Values and position come from one view: between two calls of
`try_catch_up_with_primary` a secondary stands still, at the end of a whole batch, and the position is in each batch.

It is what the decision on threads and processes was measured with (docs/decisions/0022) and nothing more: it takes
every partition for active, which a product would have to hear from the worker's loop, with each change of hands.
"""

from __future__ import annotations

import itertools
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from prometheus_client import CollectorRegistry
from rocksdict import AccessType, Rdict

from operators.topology import AggregateStage, Topology
from pipeline.log.kafka import connect
from pipeline.logging import set_up_logging
from pipeline.query.application import application
from pipeline.query.directory import Directory
from pipeline.query.listener import Listener
from pipeline.query.server import HttpServer
from pipeline.query.upstream import Upstream
from pipeline.runtime.changes import Changes
from pipeline.runtime.hot_keys import Recent
from pipeline.runtime.identity import group_of
from pipeline.runtime.start import load_topology
from pipeline.runtime.view import PartitionState, PartitionStatus, StandbyStatus
from pipeline.settings import Settings
from pipeline.state.api import Position, StoreIdentity, StoreView
from pipeline.state.envelope import unseal
from pipeline.state.rocks_options import store_options

CATCH_UP_S: Final = 0.05
"""How far a view may be behind the worker's store: to catch up costs more than to read."""


class Follower:
    """One partition's store, as its secondary sees it. For one thread."""

    whole = True

    def __init__(self, database: Path, tables: list[str], scratch: Path) -> None:
        options = store_options(create=False)
        options.set_max_open_files(-1)  # the primary deletes files that a secondary would have to open again
        families = dict.fromkeys(["metadata", *(f"table:{name}" for name in tables)], options)
        access = AccessType.secondary(str(scratch))
        self._database = Rdict(str(database), options, column_families=families, access_type=access)
        self._metadata = self._database.get_column_family("metadata")
        self._tables = {name: self._database.get_column_family(f"table:{name}") for name in tables}
        self._caught_up_at = 0.0

    def catch_up(self) -> None:
        if time.monotonic() - self._caught_up_at > CATCH_UP_S:
            self._database.try_catch_up_with_primary()
            self._caught_up_at = time.monotonic()

    @property
    def position(self) -> Position:
        sealed: bytes | None = self._metadata.get(b"position")
        return Position() if sealed is None else msgspec.msgpack.decode(unseal(sealed), type=Position)

    def get(self, table: str, key: bytes) -> bytes | None:
        value: bytes | None = self._tables[table].get(key)
        return value

    def scan(self, table: str, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        raise NotImplementedError("point queries are measured")


class FollowingView:
    """`pipeline.runtime.view.WorkerView` of a process beside the worker."""

    group = ""
    generation = 1

    def __init__(self, topology: Topology, stage: AggregateStage, stores: dict[int, Follower]) -> None:
        self.worker_id = "secondary"
        self.topology = topology
        self.stage = stage
        self.changes = Changes()
        self._stores = stores

    def healthy(self) -> tuple[bool, str]:
        return True, ""

    def ready(self) -> tuple[bool, str]:
        return True, ""

    def partitions(self) -> list[PartitionStatus]:
        return [
            PartitionStatus(each, PartitionState.ACTIVE, store.position.source_next, -1, 0.0, 0.0, None)
            for each, store in self._stores.items()
        ]

    def state_of(self, partition: int) -> PartitionState | None:
        return PartitionState.ACTIVE if partition in self._stores else None

    def recent(self, most: int, prefix: bytes = b"") -> Mapping[int, Recent]:
        """It folds nothing."""
        return {}

    def folded_to(self, partition: int) -> int:
        return self._stores[partition].position.source_next

    @contextmanager
    def view(self, partition: int) -> Iterator[StoreView]:
        store = self._stores[partition]
        store.catch_up()
        yield store

    def checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        raise KeyError(partition)

    def standbys(self) -> list[StandbyStatus]:
        return []

    def standby_view(self, partition: int) -> AbstractContextManager[StoreView]:
        raise KeyError(partition)

    def standby_checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        raise KeyError(partition)


def _nothing_proved(_partitions: list[int], _from_source: bool) -> Iterator[dict[str, object]]:
    return iter(())


def _nothing_given(partition: int) -> Generator[bytes, None, None]:
    raise KeyError(partition)
    yield b""


def main(directory: Path) -> None:
    settings = Settings()
    set_up_logging(settings.log_format, settings.log_level)
    topology = load_topology(settings)
    stage = topology.stages[-1]
    assert isinstance(stage, AggregateStage)
    names = [table.name for table in stage.tables]
    log = connect(settings)
    admin = log.admin()
    source = settings.prefix + stage.source
    group_directory = Directory.of_group(admin, group_of(settings.prefix, stage), source)
    with tempfile.TemporaryDirectory(prefix="statelog-secondary-") as scratch:
        databases = {int(each.parent.name): each for each in directory.rglob("rocksdb")}
        numbers = itertools.count()
        stores = {
            partition: Follower(database, names, Path(scratch) / str(next(numbers)))
            for partition, database in databases.items()
        }
        view = FollowingView(topology, stage, stores)
        upstream = Upstream(topology, stage, group_directory.partitions, settings.prefix, admin, log.reader)
        served = application(view, group_directory, upstream, _nothing_proved, _nothing_given, CollectorRegistry())
        server = HttpServer(served, Listener())
        server.start()
        print(server.address, flush=True)
        ended = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: ended.set())
        ended.wait()
        server.stop()
        admin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
