"""Changelogs with transactions that were aborted, are open, or were compacted: a restore takes what was committed, all
of it, and ends.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from pipeline.log.api import Committed, TopicPartition
from pipeline.log.config import common
from pipeline.log.reader import KafkaReader
from pipeline.runtime.changes import Changes
from pipeline.runtime.clock import MACHINE_CLOCK
from pipeline.runtime.crash import CrashPoint, nowhere
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.metrics import WorkerMetrics
from pipeline.runtime.progress_log import RestoreLog
from pipeline.runtime.refusals import RefusalCount
from pipeline.runtime.restore import Restoration
from pipeline.runtime.restorer import POLL_RECORDS, Restorer
from pipeline.runtime.task import AggregateTask
from pipeline.state.api import StoreIdentity
from pipeline.state.envelope import seal
from pipeline.state.rocks import RocksStore
from tests.oracle import Parameters, recount
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.cluster import UNNAMED, Cluster
from tests.support.exactness import assert_same_once, assert_tables
from tests.support.readings import for_the_oracle, readings
from tests.support.scale import Scale
from tests.support.waiting import eventually

TABLE = "device-state"
# Tombstones stay, as they do for longer than any restore takes.
QUICK = {"segment_ms": "100", "min_compaction_lag_ms": "0", "min_cleanable_dirty_ratio": "0.01"}

pytestmark = pytest.mark.timeout(1_800)


class Writer:
    """A transactional producer beside the workers."""

    def __init__(self, kafka: Kafka, prefix: str) -> None:
        self._producer = Producer(
            {
                "bootstrap.servers": kafka.bootstrap_servers,
                "transactional.id": f"{prefix}writer",
                "transaction.timeout.ms": 600_000,
                "linger.ms": 5,
            }
        )
        self._producer.init_transactions()

    def begin(self, topic: str, rows: Iterable[tuple[bytes, bytes | None]]) -> None:
        """A transaction that is in the log and open."""
        self._producer.begin_transaction()
        for key, value in rows:
            while True:
                try:
                    self._producer.produce(topic, value, key, 0)
                    break
                except BufferError:
                    self._producer.poll(0.05)
        self._producer.flush()

    def commit(self) -> None:
        self._producer.commit_transaction()

    def abort(self) -> None:
        self._producer.abort_transaction()


def test_nothing_of_aborted_transactions_is_in_store_output_or_query(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    """Of every table and output, between the commits of a worker; and in its source."""
    aborted = 0
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1) as cluster:
        writer = Writer(kafka, prefix)
        cluster.start("aggregate", "a0")
        rounds = scale(9, full=60)
        for number in range(rounds):
            cluster.send("readings", readings(20, 1, first_round=number))
            if number % 3 == 1:
                for topic in ("readings", "device-state-changelog", "device-windows-changelog", "windows"):
                    writer.begin(cluster.full(topic), [(b"device-000001", seal(b"never")), (b"never", b"never")])
                    writer.abort()
                    aborted += 1
            cluster.drain()
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=1))
        assert_tables(cluster, expected)
        cluster.stop()
        cluster.lose_disk("aggregate", "a0")
        worker = cluster.start("aggregate", "a0")
        cluster.drain()
        assert_tables(cluster, expected)
        assert not any(key == "never" for key, _ in cluster.rows("device-state"))
        windows = [(row.json["device_id"], row.json["window_start"]) for row in cluster.records("windows")]
        wanted = [(each["device_id"], each["window_start"]) for of in expected.results.values() for each in of]
        assert_same_once("windows", windows, wanted)
        (restored,) = worker.events("restored")
        markers = cluster.admin.high_watermarks(cluster.each_partition("device-state-changelog"))
        assert sum(markers.values()) > len(cluster.records("device-state-changelog")) + aborted // 4
        figure(f"{aborted} aborted transactions between {rounds} commits; {restored['records']} records restored")


def test_a_dead_owners_transaction_is_waited_for_and_what_it_committed_late_is_there(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1, session_timeout_ms=3_000,
                 transaction_timeout_ms=2_500) as cluster:  # fmt: skip
        cluster.send("readings", readings(20, 5))
        cluster.start("aggregate", None)
        cluster.drain()
        cluster.stop()
        cluster.send("readings", readings(20, 5, first_round=5))
        dead = cluster.start("aggregate", None, crash_at=CrashPoint.CHANGELOG_SENT)
        dead.wait()
        assert dead.point is CrashPoint.CHANGELOG_SENT
        # Its transaction has ended by the time that the group forgets it: one that is longer open stands for it.
        late = seal(b"late")
        writer = Writer(kafka, prefix)
        writer.begin(cluster.full("origins-changelog"), [(b"late", late)])
        heir = cluster.start("aggregate", None)

        def waits() -> bool:
            return any("a transaction is open" in line["reason"] for line in heir.events("restore waits"))

        eventually(waits, "it waits, and so knows what it has to reach")
        assert not heir.events("restored")
        assert cluster.active("aggregate") == {}
        writer.commit()
        cluster.drain()
        expected = recount(for_the_oracle(cluster.records("readings")), Parameters(partitions=1))
        assert_tables(cluster, expected)
        (restored,) = heir.events("restored")
        heir.stop()
        heir_disk = next(path for path in cluster.disk("aggregate", UNNAMED).parent.glob("*/0"))
        store = open_store(cluster, heir_disk)
        assert store.get("origins", b"late") == late, "what was committed after the restore began is not stale"
        store.close()
        figure(
            f"waited for the open transaction, restored {restored['records']} records with it, then the oracle's state"
        )


def open_store(cluster: Cluster, directory: Path) -> RocksStore:
    from pipeline.state.identity import read_identity

    identity = read_identity(directory)
    assert identity is not None
    return RocksStore.open(directory, identity, [table.name for table in cluster.topology.aggregates[0].tables])


class Restored:
    """A restore by hand, step for step, of a changelog that this test wrote."""

    def __init__(self, cluster: Cluster, store: Path, chunk_bytes: int) -> None:
        stage = cluster.topology.aggregates[0]
        names = [cluster.full("readings"), *(cluster.full(table.changelog) for table in stage.tables)]
        found = cluster.admin.topics(names)
        source_id = found[names[0]].topic_id
        ids = {table.name: found[cluster.full(table.changelog)].topic_id for table in stage.tables}
        self.tables = list(ids)
        identity = StoreIdentity("app", "1", 0, ids, source_id)
        self.store = RocksStore.open(store, identity, self.tables)
        source = TopicPartition(names[0], 0)
        group = cluster.group("aggregate")
        task = AggregateTask(
            source, source_id, RefusalCount(0, 0), stage=stage, owns=lambda _key: True, partitions=1,
            prefix=cluster.settings.prefix, store=self.store, metrics=WorkerMetrics(stage.name), changes=Changes(),
        )  # fmt: skip
        configuration = {
            **common(cluster.settings, "statelog-test"), "group.id": group, "isolation.level": "read_committed",
            "auto.offset.reset": "error", "enable.auto.commit": False, "fetch.wait.max.ms": 10,
            # So little ahead that most of the log is still to be fetched when the cleaner comes.
            "queued.min.messages": 1, "queued.max.messages.kbytes": 64, "fetch.message.max.bytes": 16_384,
        }  # fmt: skip
        reader = KafkaReader(configuration, grouped=True)
        metadata = CommittedMetadata(source_id, {table: (ids[table], 0) for table in ids}, None, 0, 1)
        reader.commit({source: Committed(0, metadata.encode())})
        self.restoration = Restoration(task, cluster.settings.prefix, nowhere, MACHINE_CLOCK)
        self._restorer = Restorer(cluster.admin, reader, RestoreLog(), chunk_bytes, POLL_RECORDS, MACHINE_CLOCK)
        self._restorer.add([(task, self.restoration)])
        self.finished = False

    def step(self) -> bool:
        """Whether it has come to its end."""
        self._restorer.step()
        failures = self._restorer.take_failures()
        assert not failures, failures
        self.finished = self.finished or bool(self._restorer.take_finished())
        return self.finished

    def content(self) -> dict[bytes, bytes]:
        with self.store.view() as view:
            return dict(view.scan(TABLE))

    def close(self) -> None:
        self._restorer.stop()
        self.store.close()


def test_compaction_during_a_restore_changes_nothing_of_what_it_brings(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    """And a log that is compacted, control records too, up to its last segment is read to its end."""
    keys, updates = scale(500, full=5_000), scale(60_000, full=500_000)
    chance = random.Random(17)
    expected: dict[bytes, bytes] = {}
    written = 0

    def batch(rows: int) -> Iterator[tuple[bytes, bytes | None]]:
        nonlocal written
        for _ in range(rows):
            key = b"%06d" % chance.randrange(keys)
            written += 1
            value = None if chance.random() < 0.05 else seal(b"%d:" % written + chance.randbytes(60))
            if value is None:
                expected.pop(key, None)
            else:
                expected[key] = value
            yield key, value

    with Cluster(kafka.bootstrap_servers, prefix, tmp_path, partitions=1) as cluster:
        administrator = Administrator(kafka.bootstrap_servers)
        changelog = cluster.full(f"{TABLE}-changelog")
        administrator.alter_topic(changelog, segment_bytes="1048576")
        writer = Writer(kafka, prefix)
        while written < updates:
            writer.begin(changelog, batch(5_000))
            writer.commit()
        writer.begin(changelog, [(b"never", seal(b"never"))])
        writer.abort()

        during = Restored(cluster, tmp_path / "during", chunk_bytes=64_000)
        eventually(lambda: during.step() or during.restoration.progress.records > updates // 100, "it is on its way")
        assert not during.finished
        read_before = during.restoration.progress.records
        assert read_before < updates // 2
        administrator.alter_topic(changelog, **QUICK)
        time.sleep(0.2)
        # An append closes the segment before it; what this appends is above the restore's target.
        eventually(lambda: compacted(cluster, writer, changelog, updates), "the cleaner has passed")
        left = len(cluster.records(f"{TABLE}-changelog"))
        eventually(during.step, "the restore that was under way ends", within_s=1_200, pause_s=0)
        assert during.restoration.progress.records < updates, "it must have met what the cleaner left"
        assert {key: value for key, value in during.content().items() if not key.startswith(b"tick")} == expected
        during.close()

        # From nothing there is no need of tombstones, nor of the control records that go with them.
        administrator.alter_topic(changelog, delete_retention_ms="0")
        for _ in range(5):
            compacted(cluster, writer, changelog, updates)
        after = Restored(cluster, tmp_path / "after", chunk_bytes=64_000)
        began = time.monotonic()
        eventually(after.step, "the restore of what is left ends", within_s=1_200, pause_s=0)
        seconds = time.monotonic() - began
        assert {key: value for key, value in after.content().items() if not key.startswith(b"tick")} == expected
        assert after.restoration.progress.records <= 3 * keys
        read_after = after.restoration.progress.records
        after.close()
        figure(
            f"{updates:,} updates of {keys:,} keys, compacted to {left:,} after {read_before:,} were read; a new one "
            f"reads {read_after:,} in {seconds:.1f} s; both states exact"
        )


_ticks = iter(range(1_000_000))


def compacted(cluster: Cluster, writer: Writer, changelog: str, updates: int) -> bool:
    writer.begin(changelog, [(b"tick", seal(b"%d" % next(_ticks)))])
    writer.commit()
    time.sleep(0.2)
    return len(cluster.records(f"{TABLE}-changelog")) < updates // 20
