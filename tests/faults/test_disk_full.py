"""A disk without room: the store stays a good prefix, the worker stops by name, and it goes on once there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import DiskFull, ExitCode
from pipeline.state.api import Position, StoreIdentity, WriteSet
from pipeline.state.rocks import RocksStore
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.disks import SmallDisk
from tests.support.exactness import assert_tables
from tests.support.readings import for_the_oracle, readings
from tests.support.waiting import eventually

IDENTITY = StoreIdentity("app", "1", 0, {"t": "id"}, "s")
MEGABYTE = 1 << 20

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], SmallDisk]]:
    disks: list[SmallDisk] = []

    def make(megabytes: int) -> SmallDisk:
        disks.append(SmallDisk(megabytes))
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


def put(store: RocksStore, number: int, kilobytes: int) -> None:
    rows: dict[bytes, bytes | None] = {b"%d-%d" % (number % 8, row): os.urandom(1_000) for row in range(kilobytes)}
    store.apply(WriteSet({"t": {**rows, b"last": b"%d" % number}}), Position(number, {"t": number}, number))


def at_the_log(store: RocksStore, disk: SmallDisk) -> None:
    """The write-ahead log is what takes the last byte."""
    disk.fill(2 * MEGABYTE)
    for number in range(store.position.source_next + 1, 1_000):
        put(store, number, 200)


def at_a_flush(store: RocksStore, disk: SmallDisk) -> None:
    """The log has its room, the file that comes of it has none."""
    for number in range(store.position.source_next + 1, store.position.source_next + 21):
        put(store, number, 200)
    disk.fill(MEGABYTE)
    store.checkpoint(disk.path / "copy")


def at_a_compaction(store: RocksStore, disk: SmallDisk) -> None:
    """The fourth file has its room, the one file to be made of four has none."""
    for round_ in range(4):
        if round_ == 3:
            disk.fill(8 * MEGABYTE)
        for number in range(store.position.source_next + 1, store.position.source_next + (6 if round_ < 3 else 3)):
            put(store, number, 1_000)
        store.checkpoint(disk.path / "copy")  # flushes
        shutil.rmtree(disk.path / "copy")
    eventually(lambda: "ompaction error: IO error: No space left" in log(store.directory), "a compaction found no room")
    for number in range(store.position.source_next + 1, 1_000):
        put(store, number, 200)


def log(directory: Path) -> str:
    """RocksDB's own."""
    return "".join(path.read_text(errors="replace") for path in (directory / "rocksdb").glob("LOG*"))


@pytest.mark.parametrize("fill", [at_the_log, at_a_flush, at_a_compaction])
def test_a_store_that_finds_no_room_is_a_good_prefix_and_goes_on_when_there_is(
    small_disk: Callable[[int], SmallDisk], fill: Callable[[RocksStore, SmallDisk], None], figure: Callable[[str], None]
) -> None:
    disk = small_disk(48)
    directory = disk.path / "store"
    store = RocksStore.open(directory, IDENTITY, ["t"])
    for number in range(1, 6):
        put(store, number, 200)
    with pytest.raises(DiskFull) as refused:
        fill(store, disk)
    assert "make room" in refused.value.hint
    reached = store.position.source_next
    assert reached >= 5
    assert store.get("t", b"last") == b"%d" % reached, "what was applied can be read"
    with pytest.raises(DiskFull):
        store.close()
    assert "No space left on device" in log(directory)
    (disk.path / "ballast").unlink(missing_ok=True)
    disk.resize(512)
    store = RocksStore.open(directory, IDENTITY, ["t"])
    again = store.position.source_next
    assert again in (reached, reached + 1), "the log may hold the commit that failed"
    assert store.get("t", b"last") == b"%d" % again
    put(store, again + 1, 200)
    store.close()
    store = RocksStore.open(directory, IDENTITY, ["t"])
    assert store.position.source_next == again + 1
    store.close()
    figure(f"no room at commit {reached + 1}; with room the store went on from {again}")


# A process with a limit of file sizes: what a user without the right to mount can do to a disk.
LIMITED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, resource.RLIM_INFINITY))
from pipeline.errors import PipelineError
from pipeline.state.rocks import RocksStore
from tests.faults.test_disk_full import IDENTITY, put
try:
    store = RocksStore.open(Path(sys.argv[1]), IDENTITY, ["t"])
    for number in range(1, 100):
        put(store, number, 200)
except PipelineError as error:
    print(type(error).__name__, store.position.source_next, error.hint)
"""


def test_a_limit_of_file_sizes_is_a_mistake_of_the_settings_and_no_damage(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "store"], capture_output=True, text=True, check=True, timeout=120
    )
    kind, reached, *hint = done.stdout.split()
    assert kind == "Misconfigured", done.stdout
    assert "ulimit -f" in " ".join(hint)
    store = RocksStore.open(tmp_path / "store", IDENTITY, ["t"])
    assert store.position.source_next in (int(reached), int(reached) + 1)
    assert store.get("t", b"last") == b"%d" % store.position.source_next
    store.close()
    figure(f"misconfigured after commit {reached}, which the store still has")


def test_a_worker_whose_disk_is_full_stops_and_goes_on_to_the_oracles_state(
    kafka: Kafka, prefix: str, tmp_path: Path, small_disk: Callable[[int], SmallDisk], figure: Callable[[str], None]
) -> None:
    disk = small_disk(96)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "c", partitions=2) as cluster:
        cluster.send("readings", readings(100, 4))
        worker = cluster.start("aggregate", "a0", data_dir=str(disk.path))
        cluster.drain()
        disk.fill(MEGABYTE // 2)
        rounds = iter(range(4, 400, 4))

        def stopped() -> bool:
            if worker.alive:
                cluster.send("readings", readings(300, 4, first_round=next(rounds)))
            return not worker.alive

        eventually(stopped, "the disk is full", pause_s=0.3)
        assert worker.wait() == ExitCode.FAILURE, worker.text()
        assert "no room left for the store" in worker.text()
        assert "make room" in worker.text()
        assert "Traceback" not in worker.text()
        # Without room it does not start, and damages nothing.
        again = cluster.start("aggregate", "a0", data_dir=str(disk.path))
        assert again.wait() == ExitCode.FAILURE
        (disk.path / "ballast").unlink()
        disk.resize(512)
        last = cluster.start("aggregate", "a0", data_dir=str(disk.path))
        cluster.drain()
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=2))
        assert_tables(cluster, expected)
        assert not last.events("store put in quarantine, rebuilding")
        last.stop()
        figure("stopped by name, twice; with room the state was the oracle's, from the same store")
