"""The real worker on the in-memory log: commit, crash at every point, restore, and the state of a plain fold."""

from __future__ import annotations

import pytest

import pipeline.runtime.restorer
from pipeline.errors import Fenced
from pipeline.runtime.crash import CrashPoint
from tests.simulation.world import STAGE, World
from tests.support.readings import readings

DEVICES, ROUNDS = 20, 12
RECORDS = DEVICES * ROUNDS
ENOUGH = 200
"""Steps in which everything is done several times over."""

FATAL = [point for point in CrashPoint if point not in {CrashPoint.IDLE, CrashPoint.REVOKED}]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A restore takes several steps, and one that has to wait asks again at once: no time passes here."""
    monkeypatch.setattr(pipeline.runtime.restorer, "RETRY_PAUSE_S", 0.0)
    monkeypatch.setattr(pipeline.runtime.restorer, "POLL_RECORDS", 20)


def feed(world: World, rounds: int = ROUNDS, first_round: int = 0) -> None:
    world.cluster.feed(STAGE.source, readings(DEVICES, rounds, first_round))


def assert_folded_once(world: World, worker_id: str) -> None:
    """Store, changelogs and a fold with nothing in between are the same, byte for byte."""
    world.stop()
    assert sum(world.committed().values()) == RECORDS
    for partition in range(world.partitions):
        folded = world.digest_of_a_plain_fold(partition)
        assert world.digest_of_changelogs(partition) == folded
        assert world.digest_of_store(worker_id, partition) == folded


def test_a_worker_commits_what_it_folds_and_its_store_follows() -> None:
    world = World()
    feed(world)
    worker = world.start("a0")
    world.run(ENOUGH)
    assert worker.reached.count(CrashPoint.COMMITTED) > 10
    assert_folded_once(world, "a0")
    results = [record.value() for record in world.cluster.records("windows")]
    assert len(results) == len(set(results)) > 0


@pytest.mark.parametrize("disk", ["kept", "lost"])
@pytest.mark.parametrize("point", FATAL, ids=lambda point: point.name)
def test_a_worker_killed_at_any_point_is_continued_by_its_next_life(point: CrashPoint, disk: str) -> None:
    world = World()
    feed(world, rounds=ROUNDS // 2)
    first = world.start("a0")
    world.run(ENOUGH)
    feed(world, rounds=ROUNDS // 2, first_round=ROUNDS // 2)
    if point >= CrashPoint.RESTORE_MARKED:
        first.kill()  # a new life has to restore: its disk is gone
        world.disks.clear()
        first = world.start("a0")
    first.dies_at = point
    world.run(ENOUGH)
    assert not first.alive, "the crash has to happen"
    before = sum(world.committed().values())
    if disk == "lost":
        world.disks.clear()
    second = world.start("a0")
    world.run(ENOUGH)
    assert sum(world.committed().values()) > before or point is CrashPoint.APPLIED
    assert CrashPoint.RESTORED in second.reached
    assert_folded_once(world, "a0")


def test_between_commit_and_apply_a_store_is_one_commit_behind_and_a_restore_closes_the_gap() -> None:
    world = World(partitions=1)
    feed(world)
    world.start("a0", dies_at=CrashPoint.COMMITTED)
    world.run(ENOUGH)
    assert world.committed() == {0: 7}
    assert world.store("a0", 0).position.source_next == 0
    second = world.start("a0")
    second.dies_at = CrashPoint.RESTORED
    world.run(ENOUGH)
    assert not second.alive
    assert world.store("a0", 0).position.source_next == 7
    world.start("a0")
    world.run(ENOUGH)
    assert_folded_once(world, "a0")


def test_another_worker_takes_over_when_session_and_transaction_of_the_dead_are_over() -> None:
    world = World()
    feed(world)
    dead = world.start("dead", dies_at=CrashPoint.OFFSETS_SENT)
    world.run(ENOUGH)
    assert not dead.alive
    heir = world.start("heir")
    world.run(ENOUGH)
    assert heir.tasks.held == {}
    world.cluster.advance(world.settings("any").session_timeout_ms)
    world.run(ENOUGH)
    assert_folded_once(world, "heir")


def test_partitions_are_handed_to_a_worker_that_joins_and_come_back_when_it_leaves() -> None:
    world = World(partitions=4)
    first = world.start("first")
    feed(world, rounds=ROUNDS // 2)
    world.run(ENOUGH)
    second = world.start("second")
    feed(world, rounds=ROUNDS // 2, first_round=ROUNDS // 2)
    world.run(ENOUGH)
    assert len(first.tasks.active) == len(second.tasks.active) == 2
    assert set(first.tasks.active) | set(second.tasks.active) == set(range(4))
    second.worker.leave()
    second.alive = False
    world.cluster.advance(world.settings("any").session_timeout_ms)
    world.run(ENOUGH)
    assert set(first.tasks.active) == set(range(4))
    # Its open transaction has timed out meanwhile, so its last commit fails, and its next life does that work again.
    world.stop()
    world.start("first")
    world.run(ENOUGH)
    assert_folded_once(world, "first")


@pytest.mark.parametrize("happened", [True, False], ids=["it happened", "it did not"])
def test_a_commit_without_an_answer_is_neither_lost_nor_done_twice(happened: bool) -> None:
    world = World()
    feed(world)
    worker = world.start("a0")
    for _ in range(3):
        world.run(5)
        world.cluster.lose_commit_answer("aggregate-a0", happened=happened)
    world.run(ENOUGH)
    assert worker.reached.count(CrashPoint.RESTORED) > world.partitions, "each commit without an answer asks for one"
    assert_folded_once(world, "a0")


def test_markers_that_come_late_hold_a_restore_up_and_nothing_is_missed() -> None:
    world = World()
    feed(world)
    dead = world.start("a0", dies_at=CrashPoint.COMMITTED)
    world.cluster.hold_markers(*(table.changelog for table in STAGE.tables))
    world.run(ENOUGH)
    assert not dead.alive
    world.cluster.advance(world.settings("any").session_timeout_ms)
    heir = world.start("heir")
    world.run(ENOUGH)
    assert heir.tasks.active.keys() != set(range(world.partitions)), "a restore waits"
    assert world.cluster.release_markers() > 0
    world.run(ENOUGH)
    assert_folded_once(world, "heir")


def test_a_zombie_changes_nothing_that_anybody_sees() -> None:
    world = World()
    feed(world)
    zombie = world.start("zombie")
    world.run(6)
    zombie.log.freeze()
    heir = world.start("heir")
    world.cluster.advance(world.settings("any").session_timeout_ms)
    for _ in range(ENOUGH):
        heir.step()
    zombie.log.thaw()
    world.run(ENOUGH)
    assert zombie.alive
    assert zombie.reached.count(CrashPoint.COMMITTED) >= 1
    world.stop()
    assert sum(world.committed().values()) == RECORDS
    for partition in range(world.partitions):
        assert world.digest_of_changelogs(partition) == world.digest_of_a_plain_fold(partition)


def test_the_same_steps_write_the_same_log() -> None:
    def everything() -> list[tuple[str, tuple[int, int]]]:
        world = World()
        feed(world)
        world.start("a0", dies_at=CrashPoint.COMMITTED)
        world.run(ENOUGH)
        world.start("a0")
        world.run(ENOUGH)
        world.stop()
        topics = ["windows", *(table.changelog for table in STAGE.tables)]
        return [(repr(record), record.timestamp()) for topic in topics for record in world.cluster.records(topic)]

    assert everything() == everything()


def test_the_same_id_twice_ends_the_older_worker() -> None:
    world = World()
    feed(world)
    older = world.start("a0")
    world.run(6)
    newer = world.start("a0")
    newer.step()
    with pytest.raises(Fenced):
        older.worker.round()
    older.alive = False
    world.run(ENOUGH)
    assert_folded_once(world, "a0")
