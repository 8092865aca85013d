"""Stores that come back: from nothing, from damage, from an interruption, and beside others that go on."""

from __future__ import annotations

import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import Producer

from pipeline.client import Client
from pipeline.errors import ExitCode
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.restorer import POLL_RECORDS
from pipeline.state.api import FORMAT_VERSION, WriteSet
from pipeline.state.digest import digest
from pipeline.state.identity import read_identity, write_identity
from pipeline.state.rocks import LOCK_FILE, RocksStore, open_checkpoint
from tests.oracle import Parameters, recount
from tests.oracle.partitioner import partition_for
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_same_once, assert_tables
from tests.support.prefixes import assert_stores_are_prefixes, digest_of_changelogs
from tests.support.readings import for_the_oracle, readings
from tests.support.waiting import eventually

PARTITIONS = 2
DEVICES = 60
ROUNDS = 20
FOREVER_MS = 600_000
"""Of a transaction that the test ends itself."""

pytestmark = pytest.mark.timeout(600)


class Settled:
    """A pipeline whose aggregate worker has folded its input and stopped, with the disk that it left."""

    def __init__(self, cluster: Cluster, master: Path) -> None:
        self.cluster = cluster
        self.tables = [table.name for table in cluster.topology.aggregates[0].tables]
        self.disk = cluster.disk("aggregate", "a0")
        self._master = master
        shutil.copytree(self.disk, master)
        self.digests = self.digests_now()

    def digests_now(self) -> list[str]:
        """Of the stores on the disk, by partition."""
        found = []
        for partition in range(PARTITIONS):
            with open_checkpoint(self.disk / str(partition), self.tables) as view:
                found.append(digest(view, self.tables))
        return found

    def as_left(self) -> None:
        """The disk as it was."""
        shutil.rmtree(self.disk)
        shutil.copytree(self._master, self.disk)

    def open_store(self, partition: int) -> RocksStore:
        directory = self.disk / str(partition)
        identity = read_identity(directory)
        assert identity is not None
        return RocksStore.open(directory, identity, self.tables)


@pytest.fixture(scope="module")
def prepared(kafka: Kafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settled]:
    directory = tmp_path_factory.mktemp("restore")
    with Cluster(kafka.bootstrap_servers, f"restore-{uuid.uuid4().hex[:8]}-", directory / "workers",
                 partitions=PARTITIONS) as cluster:  # fmt: skip
        cluster.send("readings", readings(DEVICES, ROUNDS))
        cluster.start("aggregate", "a0")
        cluster.drain()
        assert_tables(cluster, recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS)))
        cluster.stop()
        yield Settled(cluster, directory / "master")


@pytest.fixture
def settled(prepared: Settled) -> Iterator[Settled]:
    prepared.as_left()
    yield prepared
    for worker in prepared.cluster.workers:
        worker.close()
    prepared.cluster.workers.clear()


def test_a_graceful_stop_leaves_nothing_to_restore_and_the_digest_of_the_changelogs(settled: Settled) -> None:
    cluster = settled.cluster
    changelogs = {table: cluster.records(f"{table}-changelog") for table in settled.tables}
    assert settled.digests == [digest_of_changelogs(changelogs, partition) for partition in range(PARTITIONS)]
    worker = cluster.start("aggregate", "a0")
    cluster.wait_until_active("aggregate")
    assert [row["records"] for row in worker.events("restored")] == [0] * PARTITIONS


def test_a_lost_disk_comes_back_with_the_same_digest(settled: Settled) -> None:
    shutil.rmtree(settled.disk)
    worker = settled.cluster.start("aggregate", "a0")
    settled.cluster.wait_until_active("aggregate")
    worker.stop()
    assert all(row["records"] > 0 for row in worker.events("restored"))
    assert settled.digests_now() == settled.digests


def _flip_bytes(database: Path) -> None:
    """A bit in each 512 bytes of every table file: no block stays whole."""
    files = list(database.glob("*.sst"))
    assert files
    for path in files:
        data = bytearray(path.read_bytes())
        for at in range(0, len(data), 512):
            data[at] ^= 0x10
        path.write_bytes(bytes(data))


def _empty_manifest(database: Path) -> None:
    (manifest,) = database.glob("MANIFEST-*")
    manifest.write_bytes(bytes(len(manifest.read_bytes())))


def _lose_current(database: Path) -> None:
    (database / "CURRENT").unlink()


def _lose_identity(database: Path) -> None:
    (database.parent / "identity").unlink()


@pytest.mark.parametrize("damage", [_flip_bytes, _empty_manifest, _lose_current, _lose_identity])
def test_a_damaged_store_goes_to_quarantine_and_comes_back(settled: Settled, damage: Callable[[Path], None]) -> None:
    damage(settled.disk / "1" / "rocksdb")
    worker = settled.cluster.start("aggregate", "a0")
    settled.cluster.wait_until_active("aggregate")
    worker.stop()
    assert settled.digests_now() == settled.digests
    (line,) = worker.events("store put in quarantine, rebuilding")
    assert line["partition"] == 1
    assert line["why"]
    (aside,) = (settled.disk / "quarantine").iterdir()
    assert (aside / "WHY").read_text() == line["why"] + "\n"
    assert [row["records"] > 0 for row in sorted(worker.events("restored"), key=lambda row: row["partition"])] == [
        False,
        True,
    ]


def test_a_store_ahead_of_its_changelog_goes_to_quarantine_and_comes_back(settled: Settled) -> None:
    store = settled.open_store(0)
    ahead = {table: next_offset + 1_000 for table, next_offset in store.position.changelog_next.items()}
    store.apply(WriteSet({"origins": {b"never": None}}), msgspec.structs.replace(store.position, changelog_next=ahead))
    store.close()
    worker = settled.cluster.start("aggregate", "a0")
    settled.cluster.wait_until_active("aggregate")
    worker.stop()
    (line,) = worker.events("store put in quarantine, rebuilding")
    assert "ahead of its changelog" in line["why"]
    assert settled.digests_now() == settled.digests


def test_a_store_of_another_partition_goes_to_quarantine_as_it_is(settled: Settled) -> None:
    shutil.rmtree(settled.disk / "1")
    shutil.copytree(settled.disk / "0", settled.disk / "1")
    before = _files(settled.disk / "1")
    worker = settled.cluster.start("aggregate", "a0")
    settled.cluster.wait_until_active("aggregate")
    worker.stop()
    (line,) = worker.events("store put in quarantine, rebuilding")
    assert "holds the store of another" in line["why"]
    (aside,) = (settled.disk / "quarantine").iterdir()
    assert before.items() <= _files(aside).items()
    assert settled.digests_now() == settled.digests


def test_a_store_of_newer_software_stops_the_worker_and_is_not_touched(settled: Settled) -> None:
    store = settled.disk / "1"
    identity = read_identity(store)
    assert identity is not None
    write_identity(store, msgspec.structs.replace(identity, format_version=FORMAT_VERSION + 1))
    before = _files(store)
    worker = settled.cluster.start("aggregate", "a0")
    assert worker.wait() == ExitCode.MISCONFIGURED, worker.text()
    assert "newer version of this program" in worker.text()
    assert "Traceback" not in worker.text()
    assert _files(store) == before


def _files(directory: Path) -> dict[str, bytes]:
    """All but the lock, which names the process that looked last."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != LOCK_FILE
    }


def test_a_store_of_another_topology_version_is_rebuilt(settled: Settled) -> None:
    worker = settled.cluster.start("aggregate", "a0", grace_ms="30001")
    settled.cluster.wait_until_active("aggregate")
    worker.stop()
    lines = worker.events("store put in quarantine, rebuilding")
    assert sorted(line["partition"] for line in lines) == [0, 1]
    assert settled.digests_now() == settled.digests


def test_a_task_that_restores_does_not_stop_the_others_and_says_what_it_waits_for(
    kafka: Kafka, settled: Settled
) -> None:
    cluster = settled.cluster
    shutil.rmtree(settled.disk)
    of = {partition: _device_of(partition) for partition in range(PARTITIONS)}
    # Somebody's open transaction in its changelog holds a restore up for as long as it is open.
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": f"{cluster.full('')}x",
                         "transaction.timeout.ms": FOREVER_MS})  # fmt: skip
    producer.init_transactions()
    producer.begin_transaction()
    producer.produce(cluster.full("device-state-changelog"), b"never", b"never", 0)
    producer.flush()
    worker = cluster.start("aggregate", "a0")
    with Client.connect(cluster.settings, cluster.topology) as client:
        eventually(lambda: cluster.active("aggregate").keys() == {1}, "partition 1 is active")
        row = client.get("device-state", of[1])
        assert row is not None
        assert row.meta.served_by == "active"
        assert row.value["readings"] == ROUNDS
        (restoring,) = [row for row in client.status("aggregate") if row.partition == 0]
        assert restoring.state == "restoring"
        eventually(lambda: bool(worker.events("restore waits")), "it says that it waits")
        assert "a transaction is open in" in worker.events("restore waits")[0]["reason"]
        producer.abort_transaction()
        cluster.wait_until_active("aggregate")
        restored = client.get("device-state", of[0])
        assert restored is not None
        assert restored.value["readings"] == ROUNDS
        assert client.get("device-state", "never") is None
    worker.stop()
    assert settled.digests_now() == settled.digests


def _device_of(partition: int) -> str:
    names = (f"device-{number:06d}" for number in range(DEVICES))
    return next(name for name in names if partition_for(name.encode(), PARTITIONS) == partition)


def test_damage_that_shows_only_while_folding_is_mended_without_a_restart(
    kafka: Kafka, prefix: str, tmp_path: Path
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=PARTITIONS) as cluster:
        cluster.send("readings", readings(DEVICES, 4))
        cluster.start("aggregate", "a0")
        cluster.drain()
        cluster.stop()
        _damage_a_data_block(cluster.disk("aggregate", "a0") / "1" / "rocksdb")
        worker = cluster.start("aggregate", "a0")
        cluster.wait_until_active("aggregate")
        assert not worker.events("store put in quarantine, rebuilding")
        cluster.send("readings", readings(DEVICES, 4, first_round=4))
        cluster.drain()
        (line,) = worker.events("store put in quarantine, rebuilding")
        assert line["partition"] == 1
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=PARTITIONS))
        assert_tables(cluster, expected)
        windows = [(row["device_id"], row["window_start"]) for row in (r.json for r in cluster.records("windows"))]
        results = [result for of_device in expected.results.values() for result in of_device]
        assert_same_once("windows", windows, [(result["device_id"], result["window_start"]) for result in results])
        worker.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) == PARTITIONS


def _damage_a_data_block(database: Path) -> None:
    """A bit of a device's row: the file opens, and whoever reads that block learns that it is not whole."""
    (path,) = [path for path in database.glob("*.sst") if b"table:device-state" in path.read_bytes()]
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(bytes(data))


def test_a_restore_interrupted_by_kill_goes_on_where_it_was(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    kills = 3
    # A row a device in two tables: more than the kills' chunks can hold, each of which is what one poll gives.
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1, restore_chunk_bytes=1) as cluster:
        cluster.send("readings", readings(POLL_RECORDS * (kills + 1) // 2, 1))
        cluster.start("aggregate", "a0")
        cluster.drain()
        cluster.stop()
        store = cluster.disk("aggregate", "a0") / "0"
        tables = [table.name for table in cluster.topology.aggregates[0].tables]
        whole = _position_and_digest(store, tables)
        cluster.lose_disk("aggregate", "a0")

        to_fold = []
        for _ in range(kills):
            interrupted = cluster.start("aggregate", "a0", crash_at=CrashPoint.RESTORE_CHUNK)
            assert interrupted.wait() == -signal.SIGKILL, interrupted.text()
            assert interrupted.point is CrashPoint.RESTORE_CHUNK
            to_fold += [row["to_fold"] for row in interrupted.events("restore begins")]
        # A store in mid-restore is no prefix, and nobody takes it for one: it goes on, from its last chunk.
        worker = cluster.start("aggregate", "a0")
        cluster.wait_until_active("aggregate")
        worker.stop()
        to_fold += [row["to_fold"] for row in worker.events("restore begins")]
        assert len(to_fold) == kills + 1
        assert to_fold == sorted(set(to_fold), reverse=True), "each restore has less to do than the one before"
        (restored,) = worker.events("restored")
        assert 0 < restored["records"] <= to_fold[-1]
        assert not worker.events("store put in quarantine, rebuilding")
        assert _position_and_digest(store, tables) == whole


def _position_and_digest(store: Path, tables: Sequence[str]) -> tuple[int, str]:
    with open_checkpoint(store, tables) as view:
        return view.position.source_next, digest(view, tables)
