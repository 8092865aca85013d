"""What a commit carries, and what stays of work that was never committed: nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest

from operators.iot import topology
from pipeline.errors import RefusalLimit
from pipeline.log.api import TopicPartition
from pipeline.runtime.crash import CrashPoint
from pipeline.runtime.metadata import CommittedMetadata
from pipeline.runtime.worker import BEHIND_FACTOR
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.testing import TopologyDriver
from pipeline.testing.clock import TICK_S
from pipeline.testing.process import Process
from tests.simulation.world import STAGE, AggregateWorld
from tests.support.readings import readings

DEVICES, ROUNDS = 20, 12
ENOUGH = 200
"""Steps in which everything is done several times over."""
STEP_S = 3 * TICK_S
"""A step of a worker: its loop, its restores and its standbys."""


def assert_state_is_a_plain_fold(world: AggregateWorld, records: int) -> None:
    world.stop()
    assert sum(world.committed().values()) == records
    for partition in range(world.partitions):
        assert world.digest_of_changelogs(partition) == world.digest_of_a_plain_fold(partition)


@pytest.mark.parametrize(("stage", "intervals"), [("transform", 1), ("aggregate", BEHIND_FACTOR)])
def test_who_is_behind_takes_longer_for_a_commit_where_rows_are_saved_by_it(stage: str, intervals: int) -> None:
    interval_s = 0.1
    world = AggregateWorld(poll_records=2, commit_records=1_000_000, commit_interval_ms=int(interval_s * 1000))
    fed = next(iter(Telemetry(Plan(devices=400)))).messages if stage == "transform" else list(readings(100, 10))
    world.cluster.feed(world.topology.stage(stage).source, fed)
    commits: list[float] = []

    def note(_process: Process, point: CrashPoint) -> None:
        if point is CrashPoint.COMMITTED:
            commits.append(world.clock.monotonic())

    world.reached = note
    world.start(stage, "w0")
    world.run(ENOUGH)
    between = [after - before for before, after in pairwise(commits)]
    assert len(between) > 1, "it has to be behind for some commits"
    assert all(intervals * interval_s <= each <= intervals * interval_s + 4 * STEP_S for each in between), between
    world.run(3 * ENOUGH)
    commits.clear()
    idle = world.clock.monotonic()
    world.run(5)
    assert not commits, "all is done"
    world.cluster.feed(world.topology.stage(stage).source, fed[-1:])
    world.run(ENOUGH)
    assert len(commits) == 1, "one that keeps up commits after an interval"
    assert commits[0] - idle <= interval_s + 9 * STEP_S


def test_a_commit_says_how_far_its_source_and_its_changelogs_reach() -> None:
    """The committed offset, its metadata, the store and the topics agree, each time that a worker has committed."""
    world = AggregateWorld()
    commits = []

    def compare(process: Process, point: CrashPoint) -> None:
        if point is not CrashPoint.APPLIED:
            return
        commits.append(process)
        for partition, task in process.held.items():
            source = TopicPartition(STAGE.source, partition)
            committed = world.admin.group_offsets(STAGE.name, [source])[source]
            if committed is None:
                continue
            position = task.store.position
            assert position.source_next == committed.next_offset
            told = CommittedMetadata.decode(committed.metadata)
            assert {table: end for table, (_id, end) in told.changelogs.items()} == position.changelog_next
            for table in STAGE.tables:
                last = [
                    each.offset() for each in world.cluster.records(table.changelog) if each.partition() == partition
                ]
                assert position.changelog_next.get(table.name, 0) == max(last, default=-1) + 1

    world.reached = compare
    world.cluster.feed(STAGE.source, readings(DEVICES, ROUNDS))
    world.aggregate("a0")
    world.run(ENOUGH)
    assert len(commits) > 10
    assert_state_is_a_plain_fold(world, DEVICES * ROUNDS)


def results(world: AggregateWorld) -> list[bytes]:
    return sorted(record.value() or b"" for record in world.cluster.records("windows"))


@pytest.mark.parametrize("happened", [True, False], ids=["it happened", "it did not"])
def test_rows_that_were_changed_in_memory_go_with_the_transaction_that_fails(happened: bool) -> None:
    """Rows of an earlier commit, which are in the cache, are changed before it fails; and so are those that know which
    readings were folded, without which the second time would send no window.
    """
    world, undisturbed = AggregateWorld(), AggregateWorld()
    worker, _ = world.aggregate("a0"), undisturbed.aggregate("a0")
    for number in range(ROUNDS):
        for each in (world, undisturbed):
            each.cluster.feed(STAGE.source, readings(DEVICES, 1, number))
        world.cluster.lose_commit_answer("aggregate-a0", happened=happened)
        for each in (world, undisturbed):
            each.run(ENOUGH)
    assert worker.metrics.aborts == ROUNDS
    assert_state_is_a_plain_fold(world, ROUNDS * DEVICES)
    undisturbed.stop()
    assert results(world) == results(undisturbed)
    assert len(results(world)) == DEVICES * 3


def test_a_commit_that_arrives_late_ends_no_later_transaction() -> None:
    """Only a new producer is safe from the requests of the old one."""
    world = AggregateWorld()
    late = []

    def arrive(_process: Process, point: CrashPoint) -> None:
        if point is CrashPoint.CHANGELOG_SENT:
            before = [len(world.cluster.records(table.changelog)) for table in STAGE.tables]
            world.cluster.deliver_late()
            assert [len(world.cluster.records(table.changelog)) for table in STAGE.tables] == before, "half of a commit"
            late.append(point)

    world.reached = arrive
    worker = world.aggregate("a0")
    for number in range(ROUNDS):
        world.cluster.feed(STAGE.source, readings(DEVICES, 1, number))
        world.cluster.lose_commit_answer("aggregate-a0", happened=False)
        world.run(ENOUGH)
    assert worker.metrics.aborts == ROUNDS < len(late)
    assert_state_is_a_plain_fold(world, ROUNDS * DEVICES)


def test_what_was_folded_of_lost_partitions_is_never_sent() -> None:
    """Though its transaction is still open when it wakes, and its group would take it in again."""
    world = AggregateWorld(transaction_timeout_ms=3_600_000)
    world.cluster.feed(STAGE.source, readings(DEVICES, ROUNDS))
    zombie = world.aggregate("zombie")
    while zombie.reached[-1:] != [CrashPoint.FOLDED]:
        zombie.step()
    slept = len(zombie.reached)
    zombie.freeze()
    heir = world.aggregate("heir")
    world.cluster.advance(world.settings.session_timeout_ms)
    for _ in range(ENOUGH):
        heir.step()
    assert set(heir.active) == set(range(world.partitions))
    zombie.thaw()
    world.run(ENOUGH)
    after = zombie.reached[slept:]
    assert CrashPoint.LOST in after
    assert CrashPoint.CHANGELOG_SENT not in after[: after.index(CrashPoint.LOST)]
    assert_state_is_a_plain_fold(world, DEVICES * ROUNDS)


@pytest.mark.parametrize("stage", ["transform", "aggregate"])
@pytest.mark.parametrize("point", [each for each in CrashPoint if CrashPoint.IDLE < each <= CrashPoint.APPLIED],
                         ids=lambda point: point.name)  # fmt: skip
def test_a_refused_message_is_in_the_dead_letters_once_wherever_its_worker_dies(point: CrashPoint, stage: str) -> None:
    if (stage, point) == ("transform", CrashPoint.STORE_APPLIED):
        return  # it has no store
    with TopologyDriver(topology()) as driver:
        reading = {"device_id": "press-07", "metric": "level", "value": 1.0, "unit": "percent", "event_time": 1}
        driver.pipe("telemetry", "press-07", reading)
        driver.crash(at=point, stage=stage)
        # The one is refused by the transform stage, the other by the aggregate's: a metric keeps its unit.
        driver.pipe("telemetry", "press-07", "not JSON" if stage == "transform" else {**reading, "unit": "degC"})
        letters = [letter.reason for letter in driver.read("dead-letters")]
        assert letters == ["not-json" if stage == "transform" else "unit-changed"]


def test_messages_without_a_value_are_in_the_dead_letters_too() -> None:
    with TopologyDriver(topology()) as driver:
        driver.pipe("telemetry", "press-07", b"")
        driver.pipe("telemetry", "press-07", None)
        assert [letter.reason for letter in driver.read("dead-letters")] == ["empty", "null-value"]


def test_a_restart_does_not_forgive_the_refusals_before_it() -> None:
    with TopologyDriver(topology(), partitions=1, refusal_run=10) as driver:
        driver.pipe_all("telemetry", [("press-07", "not JSON")] * 6)
        driver.crash(stage="transform")
        driver.pipe_all("telemetry", [("press-07", "not JSON")] * 3)
        driver.crash(stage="transform")
        with pytest.raises(RefusalLimit, match="10 refusals in a row"):
            driver.pipe("telemetry", "press-07", "not JSON")
