"""Which partition a restorer reads when, over a log in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.errors import StateLost
from pipeline.log.api import Committed, TopicPartition
from pipeline.runtime import restorer as restorer_module
from pipeline.runtime.clock import MACHINE_CLOCK
from pipeline.runtime.crash import nowhere
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.restore import Restoration
from pipeline.runtime.restorer import POLL_RECORDS, RETRY_PAUSE_S, Restorer
from pipeline.state.api import StoreIdentity
from pipeline.state.envelope import seal
from pipeline.state.memory import MemoryStore

TABLES = ("counts", "names")
RECORDS = 50
CHUNK_BYTES = 1 << 20


class Record:
    def __init__(self, changelog: TopicPartition, offset: int) -> None:
        self._changelog, self._offset = changelog, offset

    def topic(self) -> str:
        return self._changelog.topic

    def partition(self) -> int:
        return self._changelog.partition

    def offset(self) -> int:
        return self._offset

    def key(self) -> bytes:
        return b"%d" % self._offset

    def value(self) -> bytes:
        return seal(b"value")


class Cluster:
    """RECORDS in each changelog; an `Admin` and a `Reader`, as far as a restore asks them anything."""

    def __init__(self, *, committed: bool = True) -> None:
        self.stalled: set[int] = set()
        """Partitions in whose changelogs a transaction is open."""
        self.assigned: list[set[int]] = []
        """The partitions of each assignment."""
        self.ends_at = RECORDS
        """Where each changelog ends."""
        self._committed = committed
        self._next: dict[TopicPartition, int] = {}

    def earliest(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, 0)

    def high_watermarks(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.ends_at)

    def committed(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Committed | None]:
        metadata = CommittedMetadata("source", {}).encode()
        return dict.fromkeys(partitions, Committed(RECORDS, metadata) if self._committed else None)

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        self._next = dict(positions)
        self.assigned.append({each.partition for each in positions})

    def unassign(self, partitions: Sequence[TopicPartition]) -> None:
        for each in partitions:
            del self._next[each]

    def read(self) -> set[int]:
        """The partitions that are read at present."""
        return {each.partition for each in self._next}

    def poll(self, *_: object) -> list[Record]:
        records = []
        for each in self._next:
            if each.partition not in self.stalled and self._next[each] < self.ends_at:
                records += [Record(each, offset) for offset in range(self._next[each], self.ends_at)]
                self._next[each] = self.ends_at
        return records

    def position(self, partition: TopicPartition) -> int | None:
        return self._next.get(partition)


class Silent:
    def started(self, *_: object) -> None: ...
    def moved(self, *_: object) -> None: ...
    def finished(self, *_: object) -> None: ...


def restorer_of(cluster: Cluster, partitions: int) -> Restorer:
    restorer = Restorer(cast(Any, cluster), cast(Any, cluster), Silent(), CHUNK_BYTES, POLL_RECORDS, MACHINE_CLOCK)
    wanted: list[tuple[Any, Restoration]] = []
    for partition in range(partitions):
        store = MemoryStore(StoreIdentity("test", "1", partition, dict.fromkeys(TABLES, "id"), "source"), TABLES)
        task = cast(Any, SimpleNamespace(source=TopicPartition("readings", partition), topic_id="source", store=store))
        wanted.append((task, Restoration(task, "", nowhere, MACHINE_CLOCK)))
    restorer.add(wanted)
    return restorer


def finished_after(restorer: Restorer, steps: int) -> list[int]:
    finished = []
    for _ in range(steps):
        restorer.step()
        finished += [task.source.partition for task, _ in restorer.take_finished()]
    return finished


def test_small_partitions_are_read_together() -> None:
    cluster = Cluster()
    assert finished_after(restorer_of(cluster, 3), 3) == [0, 1, 2]
    assert cluster.assigned == [{0, 1, 2}]


def test_large_partitions_are_read_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restorer_module, "READ_TOGETHER", RECORDS)
    cluster = Cluster()
    restorer = restorer_of(cluster, 3)
    assert finished_after(restorer, 3) == [0, 1, 2]
    assert cluster.assigned == [{0}, {1}, {2}]
    assert not restorer.take_failures()


def test_a_partition_that_gives_nothing_holds_up_no_other_and_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restorer_module, "READ_TOGETHER", RECORDS)
    monkeypatch.setattr(restorer_module, "STALLED_S", 0.0)
    cluster = Cluster()
    cluster.stalled = {0}
    restorer = restorer_of(cluster, 2)
    assert finished_after(restorer, 3) == [1]
    cluster.stalled = set()
    assert finished_after(restorer, 1) == [0]
    assert cluster.assigned == [{0}, {0, 1}]


def test_nothing_is_read_any_more_once_all_is_restored() -> None:
    cluster = Cluster()
    restorer = restorer_of(cluster, 2)
    assert finished_after(restorer, 3) == [0, 1]
    assert cluster.read() == set()


def test_a_partition_whose_changelogs_have_grown_is_planned_and_read_anew() -> None:
    cluster = Cluster()
    cluster.stalled = {0}
    restorer = restorer_of(cluster, 2)
    assert finished_after(restorer, 2) == [1]
    assert cluster.read() == {0}
    cluster.ends_at += 1
    cluster.stalled = set()
    assert finished_after(restorer, 1) == []
    time.sleep(RETRY_PAUSE_S)
    assert finished_after(restorer, 1) == [0]
    assert cluster.assigned == [{0, 1}, {0}]
    assert not restorer.take_failures()


def test_a_partition_that_fails_in_two_changelogs_fails_once() -> None:
    cluster = Cluster(committed=False)
    restorer = restorer_of(cluster, 1)
    assert finished_after(restorer, 2) == []
    ((partition, error),) = restorer.take_failures()
    assert partition == 0
    assert isinstance(error, StateLost)
