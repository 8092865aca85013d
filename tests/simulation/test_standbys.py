"""Standbys on the in-memory log: they follow commit by commit, and a take-over restores no more than the tail."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pipeline.log.api import TopicPartition
from pipeline.log.memory import GROUP_OFFSETS
from pipeline.runtime import standbys, tail
from pipeline.runtime.aggregate_tasks import AggregateTasks
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.view import StandbyLag
from pipeline.testing.process import Process
from tests.simulation.checks import assert_stores_are_prefixes
from tests.simulation.haste import HASTE
from tests.simulation.history import History
from tests.simulation.world import STAGE, AggregateWorld
from tests.support.readings import readings

DEVICES = 10
HOUR_MS = 3_600_000
ENOUGH = 120
"""Steps in which whatever is under way comes to its end."""


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in HASTE.items():
        monkeypatch.setattr(name, seconds)


class Pair:
    """Two workers, each with a partition and a standby of the other's, and what they come to."""

    def __init__(self) -> None:
        self.world = AggregateWorld(standby_replicas=1, commit_interval_ms=50)
        self.history = History(self.world.cluster)
        self.rounds = 0
        self.a0, self.a1 = self.world.aggregate("a0"), self.world.aggregate("a1")
        self.go_on()

    def feed(self) -> None:
        self.world.cluster.feed(STAGE.source, readings(DEVICES, 1, self.rounds))
        self.rounds += 1

    def go_on(self) -> None:
        for _ in range(ENOUGH):
            self.world.run(1)
            assert_stores_are_prefixes(self.world, self.history, STAGE)

    def next_of_standby(self, process: Process, partition: int) -> int:
        return process.standbys[partition].task.store.position.source_next

    @staticmethod
    def lags(process: Process) -> Mapping[int, StandbyLag]:
        assert isinstance(process.tasks, AggregateTasks)
        assert process.tasks.standbys is not None
        return process.tasks.standbys.lags.now()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def _whole(pair: Pair, partition: int) -> int:
    return sum(
        each.partition() == partition for table in STAGE.tables for each in pair.world.cluster.records(table.changelog)
    )


def test_a_standby_comes_to_each_commit_and_is_a_prefix_all_the_way(pair: Pair) -> None:
    for _ in range(5):
        pair.feed()
        pair.go_on()
    for process, other in ((pair.a0, pair.a1), (pair.a1, pair.a0)):
        (partition,) = other.active
        assert list(process.standbys) == [partition]
        assert pair.next_of_standby(process, partition) == pair.world.committed()[partition] > 0
    assert pair.a0.reached.count(CrashPoint.TAILED) >= 5


def test_a_take_over_goes_on_from_the_standby_and_restores_only_the_tail(pair: Pair) -> None:
    for _ in range(10):
        pair.feed()
        pair.go_on()
    (partition,) = pair.a0.active
    folded_before = pair.next_of_standby(pair.a1, partition)
    pair.a0.kill()
    pair.feed()
    pair.world.cluster.advance(pair.world.settings.session_timeout_ms + 1)
    planned: list[int] = []

    def watch(process: Process, point: CrashPoint) -> None:
        if process is pair.a1 and point is CrashPoint.RESTORE_PLANNED:
            planned.append(process.held[partition].store.position.source_next if partition in process.held else -1)

    pair.world.reached = watch
    pair.go_on()
    assert CrashPoint.TAKEN_OVER in pair.a1.reached
    assert planned, "it was restored"
    assert planned[0] == folded_before, "from where the standby was, and not from nothing"
    assert not pair.a1.standbys
    assert not pair.lags(pair.a1), "it has to keep none"
    for each in range(pair.world.partitions):
        with pair.a1.held[each].store.view() as view:
            assert view.position.source_next == pair.world.committed()[each]
    pair.world.stop()
    assert pair.world.digest_of_store("a1", partition) == pair.world.digest_of_a_plain_fold(partition)


def test_a_standby_begins_with_no_commit_that_a_later_one_has_overtaken_in_the_changelogs(pair: Pair) -> None:
    """The later one's marker is on its way to the offsets; compaction goes by the changelogs alone."""
    pair.feed()
    pair.go_on()
    pair.world.cluster.hold_markers(GROUP_OFFSETS)
    before = pair.world.committed()
    pair.feed()
    pair.go_on()
    assert pair.world.committed() == before
    pair.world.cluster.advance(2 * HOUR_MS)
    rows = [_whole(pair, partition) for partition in before]
    for table in STAGE.tables:
        pair.world.cluster.compact(table.changelog)
    assert all(_whole(pair, partition) < then for partition, then in zip(before, rows, strict=True))
    pair.a1.kill()
    newcomer = pair.world.aggregate("a2")
    pair.go_on()
    (partition,) = newcomer.standbys
    pair.world.cluster.release_markers()
    pair.go_on()
    assert pair.next_of_standby(newcomer, partition) == pair.world.committed()[partition] > before[partition]


def test_the_heir_ends_what_the_dead_owner_left_open(pair: Pair) -> None:
    (partition,) = pair.a0.active
    pair.a0.dies_at = CrashPoint.OFFSETS_SENT
    pair.feed()
    pair.go_on()
    assert pair.a0.killed
    log = pair.world.cluster.topics.require(TopicPartition(STAGE.tables[0].changelog, partition))
    assert log.last_stable < log.end, "its transaction is open"
    assert pair.world.settings.transaction_timeout_ms < pair.world.settings.session_timeout_ms
    # By time alone it would be open for longer than a session: the heir is what ends it.
    began = pair.world.cluster.clock.now_ms
    for member in list(pair.world.cluster.group(STAGE.name).members.values()):
        if member.client.instance_id == "a0":
            pair.world.cluster.group(STAGE.name).leave(member.member_id)
    pair.go_on()
    assert pair.world.cluster.clock.now_ms - began < pair.world.settings.transaction_timeout_ms
    assert log.last_stable == log.end
    assert partition in pair.a1.active


def test_a_standby_outlasts_a_visit_and_is_given_up_when_the_visitor_stays(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standbys, "standbys_of", lambda *_: ["nobody"])
    kept = dict(pair.a0.standbys)
    pair.world.run(10)
    assert pair.a0.standbys == kept, "a moment is no reason"
    pair.world.cluster.advance(int(HASTE["pipeline.runtime.standbys.KEPT_S"] * 1_000) + 1)
    pair.world.run(40)
    assert not pair.a0.standbys
    assert not pair.lags(pair.a0)


def test_a_standby_is_behind_by_what_it_has_not_written_and_by_the_time_since_it_had(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (partition,) = pair.a0.active
    pair.feed()
    pair.go_on()
    before = pair.lags(pair.a1)[partition]
    assert before.records == 0
    whole = _whole(pair, partition)
    with monkeypatch.context() as stands:
        stands.setattr(tail.Tail, "due", False)
        ages = [before.age_s]
        for _ in range(3):
            pair.feed()
            pair.go_on()
            lag = pair.lags(pair.a1)[partition]
            assert lag.records is not None
            assert lag.records >= _whole(pair, partition) - whole > 0
            ages.append(lag.age_s)
        assert ages == sorted(set(ages))
    pair.go_on()
    after = pair.lags(pair.a1)[partition]
    assert after.records == 0
    assert after.age_s < ages[1]


def test_a_cut_that_is_too_old_is_not_completed(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compaction may have taken what lies below it."""
    (partition,) = pair.a0.active
    standby = pair.a1.standbys[partition]
    pair.feed()
    for _ in range(ENOUGH):
        pair.a0.step()
    monkeypatch.setattr(standbys, "LOOK_EVERY_S", 1e9)
    before = pair.next_of_standby(pair.a1, partition)
    pair.world.cluster.advance(int(tail.CUT_LIFE_S * 1_000) + 1)
    assert standby.wants_cut
    assert not standby.reached
    assert not standby.due
    assert pair.next_of_standby(pair.a1, partition) == before
    monkeypatch.setattr(standbys, "LOOK_EVERY_S", 0.1)
    pair.go_on()
    assert pair.next_of_standby(pair.a1, partition) == pair.world.committed()[partition] > before
