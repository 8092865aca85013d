"""The real worker on the in-memory log: commit, crash at every point, restore, and the state of a plain fold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.errors import Retryable, SeatTaken
from pipeline.log.api import Message
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.outbox import Outbox
from pipeline.runtime.task import AggregateTask
from tests.simulation.world import STAGE, AggregateWorld
from tests.support.readings import readings

DEVICES, ROUNDS = 20, 12
RECORDS = DEVICES * ROUNDS
ENOUGH = 200
"""Steps in which everything is done several times over."""

REBALANCED = {CrashPoint.REVOKED, CrashPoint.RELEASED, CrashPoint.LOST}
STANDBY = {CrashPoint.TAILED, CrashPoint.TAKEN_OVER, CrashPoint.RECEIVED}
FATAL = [point for point in CrashPoint if point not in {CrashPoint.IDLE, CrashPoint.INGESTED} | REBALANCED | STANDBY]
"""INGESTED needs a disk, and the others a rebalance or a standby: `test_crash_points.py` comes to them."""


def feed(world: AggregateWorld, rounds: int = ROUNDS, first_round: int = 0) -> None:
    world.cluster.feed(STAGE.source, readings(DEVICES, rounds, first_round))


def assert_folded_once(world: AggregateWorld, worker_id: str) -> None:
    """Store, changelogs and a fold with nothing in between are the same, byte for byte."""
    world.stop()
    assert sum(world.committed().values()) == RECORDS
    for partition in range(world.partitions):
        folded = world.digest_of_a_plain_fold(partition)
        assert world.digest_of_changelogs(partition) == folded
        assert world.digest_of_store(worker_id, partition) == folded


def test_a_worker_commits_what_it_folds_and_its_store_follows() -> None:
    world = AggregateWorld()
    feed(world)
    worker = world.aggregate("a0")
    world.run(ENOUGH)
    assert worker.reached.count(CrashPoint.COMMITTED) > 10
    assert_folded_once(world, "a0")
    results = [record.value() for record in world.cluster.records("windows")]
    assert len(results) == len(set(results)) > 0


@pytest.mark.parametrize("disk", ["kept", "lost"])
@pytest.mark.parametrize("point", FATAL, ids=lambda point: point.name)
def test_a_worker_killed_at_any_point_is_continued_by_its_next_life(point: CrashPoint, disk: str) -> None:
    world = AggregateWorld()
    feed(world, rounds=ROUNDS // 2)
    first = world.aggregate("a0")
    world.run(ENOUGH)
    feed(world, rounds=ROUNDS // 2, first_round=ROUNDS // 2)
    if point >= CrashPoint.ASSIGNED:
        first.kill()  # a new life has to restore: its disk is gone
        world.lose_disk(STAGE.name, "a0")
        first = world.aggregate("a0")
    first.dies_at = point
    world.run(ENOUGH)
    assert not first.alive, "the crash has to happen"
    before = sum(world.committed().values())
    if disk == "lost":
        world.lose_disk(STAGE.name, "a0")
    second = world.aggregate("a0")
    world.run(ENOUGH)
    assert sum(world.committed().values()) > before or point in {CrashPoint.STORE_APPLIED, CrashPoint.APPLIED}
    assert CrashPoint.RESTORED in second.reached
    assert_folded_once(world, "a0")


def test_when_a_partition_fails_none_of_what_was_polled_with_it_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    world = AggregateWorld(poll_records=RECORDS, commit_records=RECORDS)
    feed(world)
    polled: list[int] = []
    process = AggregateTask.process

    def fail_once(task: AggregateTask, messages: Sequence[Message], outbox: Outbox) -> None:
        polled.append(task.source.partition)
        if len(polled) == 2:  # of a poll for many: the first record of a transaction is polled alone
            raise Retryable("the sink takes no more")
        process(task, messages, outbox)

    monkeypatch.setattr(AggregateTask, "process", fail_once)
    world.aggregate("a0")
    world.run(ENOUGH)
    assert len(set(polled)) == world.partitions
    assert_folded_once(world, "a0")


def test_between_commit_and_apply_a_store_is_one_commit_behind_and_a_restore_closes_the_gap() -> None:
    world = AggregateWorld(partitions=1)
    feed(world)
    world.aggregate("a0", dies_at=CrashPoint.COMMITTED)
    world.run(ENOUGH)
    assert world.committed() == {0: 7}
    assert world.next_of_store("a0", 0) == 0
    second = world.aggregate("a0")
    second.dies_at = CrashPoint.RESTORED
    world.run(ENOUGH)
    assert not second.alive
    assert world.next_of_store("a0", 0) == 7
    world.aggregate("a0")
    world.run(ENOUGH)
    assert_folded_once(world, "a0")


def test_another_worker_takes_over_when_session_and_transaction_of_the_dead_are_over() -> None:
    world = AggregateWorld()
    feed(world)
    dead = world.aggregate("dead", dies_at=CrashPoint.OFFSETS_SENT)
    world.run(ENOUGH)
    assert not dead.alive
    heir = world.aggregate("heir")
    world.run(ENOUGH)
    assert heir.held == {}
    world.cluster.advance(world.settings.session_timeout_ms)
    world.run(ENOUGH)
    assert_folded_once(world, "heir")


def test_a_worker_that_the_group_put_out_knows_nothing_of_the_group_until_it_is_given_partitions_anew() -> None:
    world = AggregateWorld()
    feed(world)
    worker = world.aggregate("a0")
    world.run(ENOUGH)
    assert worker.tasks.assigned
    worker.freeze()
    world.cluster.advance(world.settings.session_timeout_ms)
    worker.thaw()
    worker.step()
    assert CrashPoint.LOST in worker.reached
    assert worker.held == {}
    assert not worker.tasks.assigned, "it is not ready as one is to whom the group gives nothing"
    world.run(ENOUGH)
    assert worker.tasks.assigned
    assert_folded_once(world, "a0")


def test_partitions_are_handed_to_a_worker_that_joins_and_come_back_when_it_leaves() -> None:
    world = AggregateWorld(partitions=4)
    first = world.aggregate("first")
    feed(world, rounds=ROUNDS // 2)
    world.run(ENOUGH)
    second = world.aggregate("second")
    feed(world, rounds=ROUNDS // 2, first_round=ROUNDS // 2)
    world.run(ENOUGH)
    assert len(first.active) == len(second.active) == 2
    assert set(first.active) | set(second.active) == set(range(4))
    second.leave()
    world.cluster.advance(world.settings.session_timeout_ms)
    world.run(ENOUGH)
    assert set(first.active) == set(range(4))
    # Its open transaction has timed out meanwhile, so its last commit fails, and its next life does that work again.
    world.stop()
    world.aggregate("first")
    world.run(ENOUGH)
    assert_folded_once(world, "first")


@pytest.mark.parametrize("happened", [True, False], ids=["it happened", "it did not"])
def test_a_commit_without_an_answer_is_neither_lost_nor_done_twice(happened: bool) -> None:
    world = AggregateWorld()
    feed(world)
    worker = world.aggregate("a0")
    for _ in range(3):
        world.run(5)
        world.cluster.lose_commit_answer("aggregate-a0", happened=happened)
    world.run(ENOUGH)
    assert worker.reached.count(CrashPoint.RESTORED) > world.partitions, "each commit without an answer asks for one"
    assert_folded_once(world, "a0")


def test_markers_that_come_late_hold_a_restore_up_and_nothing_is_missed() -> None:
    world = AggregateWorld()
    feed(world)
    dead = world.aggregate("a0", dies_at=CrashPoint.COMMITTED)
    world.cluster.hold_markers(*(table.changelog for table in STAGE.tables))
    world.run(ENOUGH)
    assert not dead.alive
    world.cluster.advance(world.settings.session_timeout_ms)
    heir = world.aggregate("heir")
    world.run(ENOUGH)
    assert heir.active.keys() != set(range(world.partitions)), "a restore waits"
    assert world.cluster.release_markers() > 0
    world.run(ENOUGH)
    assert_folded_once(world, "heir")


def test_a_zombie_changes_nothing_that_anybody_sees() -> None:
    world = AggregateWorld()
    feed(world)
    zombie = world.aggregate("zombie")
    world.run(6)
    zombie.freeze()
    heir = world.aggregate("heir")
    world.cluster.advance(world.settings.session_timeout_ms)
    for _ in range(ENOUGH):
        heir.step()
    zombie.thaw()
    world.run(ENOUGH)
    assert zombie.alive
    assert zombie.reached.count(CrashPoint.COMMITTED) >= 1
    world.stop()
    assert sum(world.committed().values()) == RECORDS
    for partition in range(world.partitions):
        assert world.digest_of_changelogs(partition) == world.digest_of_a_plain_fold(partition)


def test_the_same_steps_write_the_same_log() -> None:
    def everything() -> list[tuple[str, tuple[int, int]]]:
        world = AggregateWorld()
        feed(world)
        world.aggregate("a0", dies_at=CrashPoint.COMMITTED)
        world.run(ENOUGH)
        world.aggregate("a0")
        world.run(ENOUGH)
        world.stop()
        topics = ["windows", *(table.changelog for table in STAGE.tables)]
        return [(repr(record), record.timestamp()) for topic in topics for record in world.cluster.records(topic)]

    assert everything() == everything()


def test_the_same_id_twice_ends_the_older_worker() -> None:
    world = AggregateWorld()
    feed(world)
    older = world.aggregate("a0")
    world.run(6)
    newer = world.aggregate("a0", machine="another")
    newer.step()
    with pytest.raises(SeatTaken):
        world.run(ENOUGH)
    assert not older.alive
    world.run(ENOUGH)
    assert newer.alive
    assert_folded_once(world, "another")


def test_refusals_of_a_transaction_that_never_was_are_not_counted() -> None:
    world = AggregateWorld(partitions=1)
    world.cluster.feed("telemetry", [(b"press-07", b"no json")] * 20)
    worker = world.start("transform", "t0")
    world.cluster.lose_commit_answer(worker.identity.transactional_id, happened=False)
    world.run(ENOUGH)
    world.stop()
    assert worker.metrics.aborts == 1
    assert worker.metrics.refused == len(world.cluster.records("dead-letters")) == 20


@pytest.mark.parametrize("first", ["a0", "b0"], ids=["the restarted joins anew", "another joins anew"])
def test_what_a_worker_was_giving_back_when_it_died_is_nobodys_for_a_session_at_most(first: str) -> None:
    world = AggregateWorld(partitions=4, session_timeout_ms=300_000, commit_records=1)
    feed(world, rounds=ROUNDS // 2)
    victim = world.aggregate(first)
    world.run(ENOUGH)
    world.aggregate("a1")
    victim.dies_at = CrashPoint.RELEASED
    world.run(ENOUGH)
    assert not victim.alive, "the crash has to happen"
    world.aggregate(first)
    feed(world, rounds=ROUNDS // 2, first_round=ROUNDS // 2)
    world.run(ENOUGH)
    owners = [world.owner(STAGE, partition) for partition in range(world.partitions)]
    assert owners.count(None) == 2, "it has to come to that"
    world.cluster.advance(world.settings.session_timeout_ms)
    world.run(ENOUGH)
    held = [process.active.keys() for process in world.running]
    assert [len(each) for each in held] == [2, 2]
    world.stop()
    assert sum(world.committed().values()) == RECORDS
