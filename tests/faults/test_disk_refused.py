"""Disks and directories that will not have a worker: a typed error with the next act, and nothing harmed."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import ExitCode
from pipeline.runtime.crash import CrashPoint
from pipeline.state.rocks import RocksStore
from tests.faults.damage_child import check
from tests.faults.store_child import IDENTITY, TABLES, commit
from tests.oracle import Parameters, recount
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.disks import SmallDisk
from tests.support.exactness import assert_exactly_once, assert_tables
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.readings import for_the_oracle, readings
from tests.support.refusing import assert_stops
from tests.support.waiting import eventually

PARTITIONS = 2
NOBODY = 65_534

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def cluster(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "c", partitions=PARTITIONS) as cluster:
        yield cluster


def expect_the_oracles_state(cluster: Cluster) -> None:
    assert_tables(cluster, recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS)))


def test_a_disk_that_became_read_only_is_named_and_no_store_is_taken_for_damaged(
    cluster: Cluster, figure: Callable[[str], None]
) -> None:
    disk = SmallDisk(256)
    try:
        cluster.send("readings", readings(30, 5))
        cluster.start("aggregate", None, data_dir=str(disk.path))
        cluster.drain()
        cluster.stop()
        disk.make_read_only()
        worker = assert_stops(cluster, ExitCode.MISCONFIGURED, data_dir=disk.path)
        assert "read-only" in worker.text()
        disk.make_writable()
        again = cluster.start("aggregate", None, data_dir=str(disk.path))
        cluster.drain()
        expect_the_oracles_state(cluster)
        assert [line["records"] for line in again.events("restored")] == [0] * PARTITIONS
        again.stop()
        figure("exit 2 with the reason; writable again, the same stores, nothing restored")
    finally:
        disk.close()


OPEN_STORE = """
import os, sys
from pathlib import Path
from pipeline.errors import PipelineError
from pipeline.state.rocks import RocksStore
from tests.faults.store_child import IDENTITY, TABLES
uid = int(sys.argv[2])
if uid:
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
try:
    RocksStore.open(Path(sys.argv[1]), IDENTITY, TABLES).close()
except PipelineError as error:
    print(type(error).__name__, error.hint)
"""


@pytest.mark.parametrize("what", ["the directory", "its files"])
def test_what_another_user_owns_is_a_mistake_of_the_settings_and_no_damage(
    what: str, figure: Callable[[str], None]
) -> None:
    """Root, whom permissions do not bind, has a process of nobody do it."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary) / "store"
        store = RocksStore.open(directory, IDENTITY, TABLES)
        for number in range(1, 6):
            store.apply(*commit(number))
        store.close()
        locked = [directory] if what == "the directory" else list((directory / "rocksdb").iterdir())
        if root:
            directory.parent.chmod(0o755)
            for path in [directory, *directory.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        for path in locked:
            path.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", OPEN_STORE, directory, str(NOBODY if root else 0)],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert done.stdout == "Misconfigured give this user the directory and all that is in it\n", done
        for path in locked:
            path.chmod(0o700)
        store = RocksStore.open(directory, IDENTITY, TABLES)
        assert check(store) == 5
        store.close()
        figure(f"{what}: misconfigured, and whole once permitted")


def test_a_worker_that_runs_out_of_open_files_names_the_limit(cluster: Cluster, figure: Callable[[str], None]) -> None:
    cluster.send("readings", readings(30, 5))
    worker = cluster.start("aggregate", None)
    cluster.drain()
    held = len(list(Path(f"/proc/{worker.pid}/fd").iterdir()))
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(worker.pid, resource.RLIMIT_NOFILE, (3, hard))  # what is open stays; none comes to it
    worker.signal(signal.SIGTERM)  # closing a store flushes it, and a flush makes files
    assert worker.wait() == ExitCode.MISCONFIGURED, worker.text()
    assert "ulimit -n" in worker.text()
    cluster.start("aggregate", None)
    cluster.drain()
    expect_the_oracles_state(cluster)
    figure(f"with {held} files open and no more: exit 2 with the limit to raise; then the oracle's state")


def test_a_directory_that_is_deleted_under_a_worker_comes_back(cluster: Cluster, figure: Callable[[str], None]) -> None:
    cluster.send("readings", readings(30, 5))
    worker = cluster.start("aggregate", "a0")
    cluster.drain()
    cluster.lose_disk("aggregate", "a0")
    cluster.send("readings", readings(30, 5, first_round=5))
    eventually(lambda: bool(cluster.committed("aggregate")) and not _behind(cluster), "it goes on or stops")
    worker.signal(signal.SIGTERM)
    code = worker.wait()
    assert "Traceback" not in worker.text()
    cluster.start("aggregate", "a0")
    cluster.drain()
    expect_the_oracles_state(cluster)
    figure(f"the worker ended with exit {code}; the next one restored the oracle's state")


def _behind(cluster: Cluster) -> bool:
    if not any(worker.alive for worker in cluster.workers):
        return False
    committed = cluster.committed("aggregate")
    ends: dict[int, int] = {}
    for record in cluster.records("readings"):
        ends[record.partition] = record.offset + 1
    return any(committed[partition] < end for partition, end in ends.items())


def test_a_second_worker_of_the_same_directory_leaves_and_a_dead_ones_lock_holds_nobody_up(
    cluster: Cluster, figure: Callable[[str], None]
) -> None:
    cluster.send("readings", readings(30, 5))
    first = cluster.start("aggregate", "a0")
    cluster.drain()
    began = time.monotonic()
    second = cluster.start("aggregate", "a0")
    assert second.wait() == ExitCode.FAILURE, second.text()
    seconds = time.monotonic() - began
    assert f"holder=pid {first.pid} on" in second.text()
    assert "--id" in second.text()
    cluster.send("readings", readings(30, 5, first_round=5))
    cluster.drain()
    assert first.alive
    first.kill()
    cluster.start("aggregate", "a0")
    cluster.drain()
    expect_the_oracles_state(cluster)
    figure(f"the second left after {seconds:.1f} s, the first went on; after its kill -9 the lock was free")


def test_what_a_power_cut_took_from_the_log_is_restored(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """The disk as it was in the middle of the work, less a tail of what was never synced."""
    chance = random.Random(30)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.start("transform", "t0")
        worker = cluster.start("aggregate", "a0")
        disk = cluster.disk("aggregate", "a0")
        with TelemetryLoad(cluster, rate=800, devices=50) as load:
            eventually(lambda: min(cluster.active("aggregate").values(), default=0) > 300, "it is at work")
            worker.freeze(frozenset(CrashPoint))
            shutil.copytree(disk, disk.with_name("cut"))
            worker.thaw()
            sent = len(load.sent)
            eventually(lambda: len(load.sent) > sent + 500, "it goes on")
            worker.kill()
        lost = 0
        for log in disk.with_name("cut").glob("*/rocksdb/*.log"):
            whole = log.read_bytes()
            if not whole:
                continue  # begun this moment
            log.write_bytes(whole[: chance.randrange(len(whole) // 2, len(whole))])
            lost += len(whole) - log.stat().st_size
        assert lost > 0
        shutil.rmtree(disk)
        disk.with_name("cut").rename(disk)
        again = cluster.start("aggregate", "a0")
        cluster.drain()
        assert_exactly_once(cluster, load.accepted)
        restored = [line["records"] for line in again.events("restored")]
        assert min(restored) > 0
        assert not again.events("store put in quarantine, rebuilding")
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == PARTITIONS
        figure(f"{lost:,} bytes of log lost; {sum(restored):,} records restored onto the older prefixes")
