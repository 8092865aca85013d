"""What a restore brings back, what it refuses to go on from, and how it tells where it is."""

from __future__ import annotations

import pytest

from pipeline.errors import StateLost
from pipeline.log.api import TopicPartition
from pipeline.runtime.crash import CrashPoint
from pipeline.testing.process import Process
from pipeline.topics import TopicPlan
from tests.simulation.checks import assert_stores_are_prefixes
from tests.simulation.history import History
from tests.simulation.world import STAGE, TOPOLOGY, AggregateWorld
from tests.support.readings import readings

DEVICES, ROUNDS = 20, 6
ENOUGH = 200
"""Steps in which everything is done several times over."""
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
DEVICE_STATE = "device-state-changelog"


@pytest.fixture
def world() -> AggregateWorld:
    """A worker has folded all there is, and is dead; its disk is kept."""
    world = AggregateWorld(partitions=1, restore_chunk_bytes=400, commit_interval_ms=60)
    world.cluster.feed(STAGE.source, readings(DEVICES, ROUNDS))
    worker = world.aggregate("a0")
    world.run(ENOUGH)
    assert world.committed() == {0: DEVICES * ROUNDS}
    worker.kill()
    return world


def restored(world: AggregateWorld) -> Process:
    """The worker's next life."""
    worker = world.aggregate("a0")
    world.run(ENOUGH)
    return worker


def make_anew(world: AggregateWorld, topic: str) -> None:
    """Delete a topic, and bring the same records into a new one, as a mirror would."""
    records = [(each.key(), each.value()) for each in world.cluster.records(topic)]
    end = world.admin.high_watermarks([TopicPartition(topic, 0)])[TopicPartition(topic, 0)]
    world.cluster.delete_topic(topic)
    world.admin.create_topics({topic: TopicPlan(TOPOLOGY).configs[topic]}, world.partitions, 1)
    while world.admin.high_watermarks([TopicPartition(topic, 0)])[TopicPartition(topic, 0)] < end:
        world.cluster.feed(topic, records)


@pytest.mark.parametrize("days", [0, 8])
def test_what_was_deleted_while_a_store_was_away_stays_deleted(world: AggregateWorld, days: int) -> None:
    """Also when nothing in the changelog tells of the deletion any more."""
    devices = [f"device-{number:06d}".encode() for number in range(DEVICES)]
    worker = restored(world)
    worker.freeze()  # the store stays behind
    world.cluster.advance(world.settings.session_timeout_ms)
    other = world.aggregate("a1")
    world.cluster.feed(STAGE.source, [(device, None) for device in devices])
    world.run(ENOUGH)
    other.leave()
    world.evict(other)
    worker.kill()
    for _ in range(days):
        world.cluster.advance(DAY_MS)
        for table in STAGE.tables:
            world.cluster.compact(table.changelog)
    tombstones = [each for each in world.cluster.records(DEVICE_STATE) if each.value() is None]
    assert bool(tombstones) is (days == 0)
    world.cluster.advance(world.settings.session_timeout_ms)
    again = restored(world)
    with again.held[0].store.view() as view:
        assert list(view.scan("device-state")) == []
        assert list(view.scan("device-windows")) == []
    world.stop()
    assert world.digest_of_store("a0", 0) == world.digest_of_a_plain_fold(0)


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_a_changelog_that_was_made_anew_is_not_the_old_one(world: AggregateWorld, disk: str) -> None:
    make_anew(world, DEVICE_STATE)
    if disk == "lost":
        world.lose_disk(STAGE.name, "a0")
    with pytest.raises(StateLost, match="a changelog was deleted and made anew"):
        restored(world)


def test_a_source_that_was_made_anew_is_not_the_old_one_though_its_offsets_were_kept(world: AggregateWorld) -> None:
    source = TopicPartition(STAGE.source, 0)
    committed = world.admin.group_offsets(STAGE.name, [source])[source]
    assert committed is not None
    make_anew(world, STAGE.source)
    world.cluster.advance(world.settings.session_timeout_ms)
    world.cluster.connect(world.settings).reader(STAGE.name).commit({source: committed})
    world.lose_disk(STAGE.name, "a0")
    with pytest.raises(StateLost, match="the source topic was deleted and made anew"):
        restored(world)


@pytest.mark.parametrize(
    "value", [b"", b"\x01\0\0\0\0half a row", b"\x02" + bytes(20)], ids=["cut", "flipped", "of later"]
)
def test_a_damaged_changelog_record_becomes_no_state(world: AggregateWorld, value: bytes) -> None:
    world.cluster.feed(DEVICE_STATE, [(b"device-000000", value)])
    with pytest.raises(StateLost, match="a changelog record is damaged"):
        restored(world)


def test_a_worker_that_slept_in_its_restore_while_another_took_over_holds_no_half_state(world: AggregateWorld) -> None:
    """What it had still to read compaction has taken, as the other one has written to the same keys since."""
    history = History(world.cluster)
    world.lose_disk(STAGE.name, "a0")
    sleeper = world.aggregate("a0")
    while CrashPoint.RESTORE_CHUNK not in sleeper.reached:
        sleeper.step()
    sleeper.freeze()
    target = sleeper.tasks.restorer.progress(0)
    assert target is not None
    assert target.done < target.target
    world.cluster.advance(world.settings.session_timeout_ms)
    other = world.aggregate("a1")
    world.cluster.feed(STAGE.source, readings(DEVICES, 1, ROUNDS))
    world.run(ENOUGH)
    assert world.committed() == {0: DEVICES * (ROUNDS + 1)}
    assert_stores_are_prefixes(world, history, STAGE)
    world.cluster.advance(2 * HOUR_MS)
    before = len(world.cluster.records(DEVICE_STATE))
    for table in STAGE.tables:
        world.cluster.compact(table.changelog)
    assert len(world.cluster.records(DEVICE_STATE)) < before
    sleeper.thaw()
    for _ in range(ENOUGH):
        sleeper.tasks.restorer.step()  # beside the loop, which has not heard yet that the partition is gone
        assert_stores_are_prefixes(world, history, STAGE)
    sleeper.step()
    assert CrashPoint.LOST in sleeper.reached
    assert_stores_are_prefixes(world, history, STAGE)
    assert other.alive


def test_a_restore_says_how_far_it_is(world: AggregateWorld) -> None:
    world.lose_disk(STAGE.name, "a0")
    worker = world.aggregate("a0")
    progress = None
    done = []
    for _ in range(ENOUGH):
        worker.step()
        progress = worker.tasks.restorer.progress(0) or progress
        if progress is not None:
            done.append(progress.done)
    assert progress is not None
    assert 0 in worker.active
    assert done == sorted(done)
    assert len(set(done)) > 3, "it is told on the way, not only at the end"
    assert done[-1] == progress.target - progress.start > DEVICES
    assert progress.eta_s == 0
