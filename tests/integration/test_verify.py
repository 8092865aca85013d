"""Verification on a real Kafka: what is equal, what differs, and what the log can no longer prove."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from operators.api import Record, TaskContext
from pipeline.errors import PipelineError
from pipeline.log.api import Admin, Delivery, Sink, TopicPartition
from pipeline.log.kafka import connect
from pipeline.log.reading import read
from pipeline.settings import Settings
from pipeline.state.api import Position, StoreIdentity, WriteSet
from pipeline.state.envelope import seal
from pipeline.state.rocks import RocksStore
from pipeline.verify.worker_side import Line, verify_partitions
from tests.integration.verify_topology import STAGE
from tests.support.administrator import Administrator
from tests.support.brokers import Kafka
from tests.support.waiting import eventually

PARTITION = 0
TABLES = [table.name for table in STAGE.tables]
CHANGELOG = {
    "cleanup.policy": "compact",
    "message.timestamp.type": "LogAppendTime",
    "min.compaction.lag.ms": "3600000",
}


class Pending:
    """`operators.api.Table` of the rows that a commit changes, over all that there are."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Any] = {}
        self.changed: dict[bytes, Any] = {}

    def get(self, key: bytes) -> Any:
        return self.rows.get(key)

    def put(self, key: bytes, value: Any) -> None:
        self.rows[key] = self.changed[key] = value

    def delete(self, key: bytes) -> None:
        self.rows.pop(key, None)
        self.changed[key] = None


class World:
    """A worker's commit protocol by hand: source, changelogs and a store of one partition."""

    def __init__(self, settings: Settings, directory: Path, changelog: Mapping[str, str]) -> None:
        log = connect(settings)
        self.settings = settings
        self.admin: Admin = log.admin()
        self.sink: Sink = log.sink(settings.prefix + "verify-test")
        self.source = settings.prefix + STAGE.source
        self.changelogs = {table.name: settings.prefix + table.changelog for table in STAGE.tables}
        self.admin.create_topics(dict.fromkeys(self.changelogs.values(), changelog), 1, 1)
        self.admin.create_topics({self.source: {"cleanup.policy": "delete"}}, 1, 1)
        found = self.admin.topics([self.source, *self.changelogs.values()])
        self.identity = StoreIdentity(
            "app",
            "1",
            PARTITION,
            {table: found[topic].topic_id for table, topic in self.changelogs.items()},
            found[self.source].topic_id,
        )
        self.store = RocksStore.open(directory / "store", self.identity, TABLES)
        self._tables = {table: Pending() for table in TABLES}
        self._fold = STAGE.operator(dict(self._tables), TaskContext(PARTITION, lambda _key: True)).fold
        self._next: dict[str, int] = {}

    def feed(self, *records: tuple[bytes, bytes | None]) -> None:
        """Source records, and the commit of what they change."""
        self.sink.begin()
        for key, value in records:
            self.sink.send(self.source, key, value, 0)
        self.sink.flush()
        self.sink.commit()
        for key, value in records:
            self._fold(Record(key, value, 0, self.identity.source_topic_id, PARTITION, 0))
        self.sink.begin()
        self.send()
        self.sink.flush()
        self.sink.commit()
        writes = WriteSet()
        for name, table in self._tables.items():
            writes.rows[name] = self._sealed(name)
            table.changed.clear()
        self.store.apply(writes, self.position)

    def send(self) -> None:
        for table, topic in self.changelogs.items():
            self.sink.send_rows(TopicPartition(topic, PARTITION), self._sealed(table), [], self._note(table))

    def abort(self, table: str, key: bytes, value: bytes) -> None:
        """A changelog record that is in the log and was never committed."""
        self.sink.begin()
        self.sink.send_rows(
            TopicPartition(self.changelogs[table], PARTITION), {key: seal(value)}, (), lambda _delivery: None
        )
        self.sink.flush()
        self.sink.abort()

    @property
    def position(self) -> Position:
        source = TopicPartition(self.source, PARTITION)
        source_next = self.admin.last_stable([source])[source]
        return Position(source_next, {table: self._next.get(table, 0) for table in TABLES}, int(time.time() * 1000))

    def damage(self, table: str, key: bytes, value: bytes | None) -> None:
        """The store gets what the log has not."""
        self.store.apply(WriteSet({table: {key: value and seal(value)}}), self.store.position)

    def lines(self, *, from_source: bool = False) -> Iterator[Line]:
        return verify_partitions(self.settings, STAGE.name, self.checkpoint, [PARTITION], from_source=from_source)

    def verdict(self, *, from_source: bool = False) -> Line:
        *_, verdict = self.lines(from_source=from_source)
        return verdict

    def checkpoint(self, partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        if partition != PARTITION:
            raise KeyError(partition)
        return self.store.identity, self.store.checkpoint(directory)

    def close(self) -> None:
        self.store.close()
        self.sink.close()
        self.admin.close()

    def _sealed(self, name: str) -> dict[bytes, bytes | None]:
        encode = STAGE.table(name).value.encode
        changed = self._tables[name].changed
        return {key: None if value is None else seal(encode(value)) for key, value in changed.items()}

    def _note(self, name: str) -> Callable[[Delivery], None]:
        def note(delivery: Delivery) -> None:
            self._next[name] = delivery.offset + 1

        return note


Make = Callable[..., World]


@pytest.fixture
def make(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Make]:
    worlds = []

    def make(**changelog: str) -> World:
        settings = Settings(
            bootstrap_servers=kafka.bootstrap_servers,
            prefix=prefix,
            topology="tests.integration.verify_topology:TOPOLOGY",
            data_dir=tmp_path / "data",
        )
        configs = CHANGELOG | {name.replace("_", "."): value for name, value in changelog.items()}
        worlds.append(World(settings, tmp_path, configs))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make: Make) -> World:
    """With overwritten, deleted, refused and aborted records behind it."""
    world = make()
    for number in range(8):
        world.feed(*((b"key-%02d" % (each % 17), b"%d" % each) for each in range(number, number + 10)))
        world.abort("counts", b"key-%02d" % number, b"never")
    world.feed((b"key-03", None), (b"never-there", None), (b"key-04", b"bad"))
    return world


@pytest.mark.parametrize("from_source", [False, True], ids=["changelog", "source"])
def test_a_store_equals_its_log(world: World, from_source: bool) -> None:
    *progress, verdict = world.lines(from_source=from_source)
    assert verdict["why"] == ""
    assert (verdict["equal"], verdict["provable"], verdict["differing_keys"]) == (True, True, [])
    assert verdict["digest"] == verdict["digest_store"] == verdict["digest_replay"]
    assert (verdict["partition"], verdict["position"]) == (PARTITION, world.position.source_next)
    assert verdict["records"] >= 83
    assert progress
    assert all(line["done"] <= line["end"] for line in progress)
    assert list((world.settings.data_dir).iterdir()) == [], "no scratch is left"


def test_a_store_behind_the_end_of_its_log_equals_the_log_up_to_there(world: World, tmp_path: Path) -> None:
    world.store.checkpoint(tmp_path / "before")
    held = world.store.position
    world.feed((b"key-01", b"later"), (b"new", b"later"), (b"key-05", None))

    def earlier(_partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        directory.symlink_to(tmp_path / "before")
        return world.identity, held

    *_, verdict = verify_partitions(world.settings, STAGE.name, earlier, [PARTITION], from_source=False)
    assert (verdict["equal"], verdict["provable"], verdict["position"]) == (True, True, held.source_next)


@pytest.mark.parametrize("from_source", [False, True], ids=["changelog", "source"])
def test_keys_that_differ_are_named(world: World, from_source: bool) -> None:
    world.damage("counts", b"key-05", b"999")
    world.damage("last", b"key-06", None)
    world.damage("last", b"key-99", b"made up")
    verdict = world.verdict(from_source=from_source)
    assert (verdict["equal"], verdict["provable"]) == (False, True)
    assert verdict["digest_store"] != verdict["digest_replay"]
    assert verdict["differing_keys"] == [
        {"table": "counts", "key": "key-05", "what": "other value"},
        {"table": "last", "key": "key-06", "what": "only in the replay"},
        {"table": "last", "key": "key-99", "what": "only in the store"},
    ]


def test_the_first_twenty_of_many_differences_are_named(world: World) -> None:
    for number in range(50):
        world.damage("last", b"extra-%02d" % number, b"x")
    assert [each["key"] for each in world.verdict()["differing_keys"]] == [f"extra-{each:02d}" for each in range(20)]


def delete_head(world: World, kafka: Kafka, topic: str) -> None:
    Administrator(kafka.bootstrap_servers).delete_head({TopicPartition(topic, PARTITION): 3})


def test_a_changelog_without_its_head_proves_nothing(make: Make, kafka: Kafka) -> None:
    world = make(cleanup_policy="compact,delete")
    world.feed(*((b"key-%d" % number, b"1") for number in range(10)))
    delete_head(world, kafka, world.changelogs["counts"])
    verdict = world.verdict()
    assert (verdict["equal"], verdict["provable"], verdict["digest_replay"]) == (False, False, None)
    assert "head was deleted" in verdict["why"]
    assert verdict["digest"], "the store's digest is known all the same"


def test_a_source_without_its_head_proves_nothing(world: World, kafka: Kafka) -> None:
    delete_head(world, kafka, world.source)
    verdict = world.verdict(from_source=True)
    assert (verdict["equal"], verdict["provable"]) == (False, False)
    assert "retention" in verdict["why"]
    assert world.verdict()["equal"], "the changelogs still prove it"


def test_a_changelog_made_anew_proves_nothing(world: World) -> None:
    other = msgspec.structs.replace(
        world.identity, changelog_topic_ids={**world.identity.changelog_topic_ids, "last": "another"}
    )

    def of_another(_partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        return other, world.store.checkpoint(directory)

    *_, verdict = verify_partitions(world.settings, STAGE.name, of_another, [PARTITION], from_source=False)
    assert not verdict["provable"]
    assert "made anew" in verdict["why"]


def test_a_store_ahead_of_its_changelog_is_not_provable(world: World) -> None:
    position = world.store.position
    ahead = {table: next_offset + 1_000 for table, next_offset in position.changelog_next.items()}
    world.store.apply(WriteSet(), Position(position.source_next, ahead, position.applied_at_ms))
    verdict = world.verdict()
    assert not verdict["provable"]
    assert "before the store's position" in verdict["why"]


def test_a_log_compacted_beyond_the_store_is_not_called_different(make: Make, tmp_path: Path) -> None:
    """The store stays at an old position, and the cleaner takes what it holds."""
    world = make(min_compaction_lag_ms="0", segment_ms="200", min_cleanable_dirty_ratio="0.01")
    world.feed(*((b"key-%d" % number, b"old") for number in range(20)))
    world.store.checkpoint(tmp_path / "before")
    held = world.store.position

    def earlier(_partition: int, directory: Path) -> tuple[StoreIdentity, Position]:
        directory.symlink_to(tmp_path / "before")
        return world.identity, held

    changelog = TopicPartition(world.changelogs["last"], PARTITION)

    def compacted() -> bool:
        world.feed(*((b"key-%d" % number, b"new") for number in range(20)))
        reader = connect(world.settings).reader()
        left = sum(len(batch) for batch in read(reader, changelog, held.changelog_next["last"]))
        reader.close()
        return left < 20

    eventually(compacted, "the cleaner has passed the store", pause_s=0.3)
    *_, verdict = verify_partitions(world.settings, STAGE.name, earlier, [PARTITION], from_source=False)
    assert (verdict["equal"], verdict["provable"]) == (False, False)
    assert "compaction" in verdict["why"]
    assert world.store.position != held


def test_a_compacted_log_proves_a_store_at_its_end(make: Make) -> None:
    world = make(min_compaction_lag_ms="0", segment_ms="200", min_cleanable_dirty_ratio="0.01")
    for number in range(12):
        world.feed(*((b"key-%d" % each, b"%d" % number) for each in range(20)), (b"key-7", None))
        time.sleep(0.3)
    verdict = world.verdict()
    assert (verdict["equal"], verdict["provable"]) == (True, True)


def test_a_partition_that_moved_away_is_passed_over(world: World) -> None:
    lines = verify_partitions(world.settings, STAGE.name, world.checkpoint, [7, PARTITION], from_source=False)
    skipped, *_, verdict = lines
    assert skipped["partition"] == 7
    assert "no longer" in skipped["skipped"]
    assert verdict["equal"]


def test_a_consumer_that_goes_away_leaves_no_process_and_no_file(world: World) -> None:
    lines = world.lines()
    next(lines)
    children = _children()
    assert len(children) == 1
    assert isinstance(lines, Iterator)
    lines.close()  # type: ignore[attr-defined]
    assert _children() == []
    assert list(world.settings.data_dir.iterdir()) == []


def test_what_a_dead_worker_left_is_removed(world: World) -> None:
    left = world.settings.data_dir / ".verify-dead"
    (left / "0").mkdir(parents=True)
    assert world.verdict()["equal"]
    assert not left.exists()


def test_a_verification_that_cannot_run_raises(world: World) -> None:
    broken = world.settings.model_copy(update={"topology": "nowhere:TOPOLOGY"})
    with pytest.raises(PipelineError, match="no topology"):
        list(verify_partitions(broken, STAGE.name, world.checkpoint, [PARTITION], from_source=False))
    assert list(world.settings.data_dir.iterdir()) == []


def _children() -> list[str]:
    """Verifying processes of this one."""
    found = []
    for path in Path("/proc").iterdir():
        with suppress(OSError):
            if path.name.isdigit() and b"pipeline.verify" in (path / "cmdline").read_bytes():
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == os.getpid():
                    found.append(path.name)
    return found
