"""What Kafka cannot be made to do on demand, on its in-memory twin alone; the rest is in tests/contract/log."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pipeline.errors import Fenced, OutcomeUnknown, Retryable, TransactionAborted
from pipeline.log.api import Committed, TopicPartition
from pipeline.log.memory import GROUP_OFFSETS, ManualClock, MemoryCluster, MemoryLog
from pipeline.log.memory.reader import MemoryReader
from pipeline.log.memory.sink import MemorySink
from pipeline.log.memory.source import MemorySource
from pipeline.settings import Settings

SESSION_MS = 10_000
TRANSACTION_MS = 9_000
HOUR_MS = 3_600_000
TOPIC = "topic"
P0, P1 = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
GROUP = "group"


class World:
    """A cluster with one topic of two partitions."""

    def __init__(self, **config: str) -> None:
        self.cluster = MemoryCluster()
        self.log = self.process()
        self.admin = self.log.admin()
        entries = {name.replace("_", "."): value for name, value in config.items()}
        self.admin.create_topics({TOPIC: entries}, 2, 1)

    def process(self) -> MemoryLog:
        return self.cluster.connect(
            Settings(session_timeout_ms=SESSION_MS, transaction_timeout_ms=TRANSACTION_MS, id=None)
        )

    def commit(self, sink: MemorySink, *rows: tuple[bytes, bytes | None], to: TopicPartition = P0) -> None:
        for key, value in rows:
            write(sink, {key: value}, to)
            sink.commit()

    def values(self, partition: TopicPartition = P0) -> list[tuple[bytes | None, bytes | None]]:
        found = self.cluster.records(TOPIC)
        return [(each.key(), each.value()) for each in found if each.partition() == partition.partition]


def write(sink: MemorySink, rows: dict[bytes, bytes | None], to: TopicPartition = P0) -> None:
    sink.begin()
    sink.send_rows(to, rows, (), lambda _delivery: None)
    sink.flush()


class Member:
    def __init__(self, log: MemoryLog, name: str, *, static: bool = False) -> None:
        self.log = log
        self.heard: list[str] = []
        self.source: MemorySource = log.source(TOPIC, GROUP, self, instance_id=name if static else None, client_id=name)

    def assigned(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("+", partitions)

    def revoked(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("-", partitions)

    def lost(self, partitions: Sequence[TopicPartition]) -> None:
        self._hear("lost", partitions)

    def _hear(self, what: str, partitions: Sequence[TopicPartition]) -> None:
        self.heard += [f"{what}{each.partition}" for each in partitions]


def settle(*members: Member) -> None:
    for _ in range(6):
        for member in members:
            member.source.poll(100, 0)


# Markers that come late


def test_while_its_markers_are_on_their_way_a_committed_transaction_is_unseen_and_its_producer_waits() -> None:
    world = World()
    member = Member(world.log, "m")
    settle(member)
    sink, reader = world.log.sink("id"), world.log.reader(GROUP)
    world.cluster.hold_markers()
    write(sink, {b"a": b"1"})
    sink.send_offsets({P0: Committed(1, "")}, member.source.membership())
    sink.commit()
    assert (world.admin.last_stable([P0])[P0], world.admin.high_watermarks([P0])[P0]) == (0, 1)
    assert world.values() == []
    with pytest.raises(Retryable):
        reader.committed([P0])
    sink.begin()
    sink.send(TOPIC, b"b", b"2", 0)
    with pytest.raises(TransactionAborted):
        sink.flush()
    with pytest.raises(OutcomeUnknown):
        sink.abort()
    with pytest.raises(Retryable):
        world.log.sink("id")
    other = world.log.sink("other")
    write(other, {b"other": b"3"}, P1)
    assert world.cluster.release_markers() == 2
    assert world.values() == [(b"a", b"1")]
    assert reader.committed([P0]) == {P0: Committed(1, "")}
    world.commit(world.log.sink("id"), (b"c", b"4"))
    assert world.values() == [(b"a", b"1"), (b"c", b"4")]


def test_offsets_may_be_stable_before_the_records_are() -> None:
    world = World()
    member = Member(world.log, "m")
    settle(member)
    sink, reader = world.log.sink("id"), world.log.reader(GROUP)
    world.cluster.hold_markers(TOPIC)
    write(sink, {b"a": b"1"})
    sink.send_offsets({P0: Committed(1, "")}, member.source.membership())
    sink.commit()
    assert reader.committed([P0]) == {P0: Committed(1, "")}
    assert world.admin.last_stable([P0]) == {P0: 0}
    world.cluster.hold_markers(GROUP_OFFSETS)
    assert world.cluster.release_markers(GROUP_OFFSETS) == 0
    assert world.cluster.release_markers(TOPIC) == 1
    assert world.admin.last_stable([P0]) == {P0: 2}


def test_markers_may_be_held_for_all_topics_but_some() -> None:
    world = World()
    world.admin.create_topics({"other": {}}, 1, 1)
    sink, other = world.log.sink("id"), TopicPartition("other", 0)
    world.cluster.hold_markers()
    assert world.cluster.release_markers("other") == 0
    sink.begin()
    for partition in (P0, other):
        sink.send_rows(partition, {b"a": b"1"}, (), lambda _delivery: None)
    sink.commit()
    assert world.admin.last_stable([P0, other]) == {P0: 0, other: 2}
    assert world.cluster.release_markers() == 1
    assert world.admin.last_stable([P0]) == {P0: 2}


def test_an_aborted_transaction_whose_marker_is_on_its_way_holds_the_others_back() -> None:
    world = World()
    sink, other = world.log.sink("id"), world.log.sink("other")
    write(sink, {b"never": b"1"})
    world.commit(other, (b"a", b"1"))
    world.cluster.hold_markers(TOPIC)
    sink.abort()
    assert world.values() == []
    world.cluster.release_markers(TOPIC)
    assert world.values() == [(b"a", b"1")]


# Answers that never come


@pytest.mark.parametrize("happened", [True, False])
def test_a_commit_without_an_answer_may_have_happened(happened: bool) -> None:
    world = World()
    sink = world.log.sink("id")
    world.cluster.lose_commit_answer("id", happened=happened)
    write(sink, {b"a": b"1"})
    with pytest.raises(OutcomeUnknown):
        sink.commit()
    assert world.values() == ([(b"a", b"1")] if happened else [])
    sink.close()
    renewed = world.log.sink("id")
    assert world.admin.last_stable([P0]) == world.admin.high_watermarks([P0]) == {P0: 2}
    world.commit(renewed, (b"b", b"2"))
    assert world.values() == [(b"a", b"1")] * happened + [(b"b", b"2")]


@pytest.mark.parametrize("renewed", [True, False])
def test_a_commit_that_arrives_late_ends_what_its_producer_has_open_unless_there_is_a_newer_one(renewed: bool) -> None:
    world = World()
    sink = world.log.sink("id")
    world.cluster.lose_commit_answer("id", happened=False)
    write(sink, {b"a": b"1"})
    with pytest.raises(OutcomeUnknown):
        sink.commit()
    sink.abort()
    if renewed:
        sink = world.log.sink("id")
    write(sink, {b"b": b"2"})
    world.cluster.deliver_late()
    assert world.values() == ([] if renewed else [(b"b", b"2")])


# Processes that stand still


def test_the_seat_of_a_frozen_process_is_given_away_when_its_session_ends() -> None:
    world = World()
    frozen, awake = Member(world.process(), "frozen"), Member(world.process(), "awake")
    settle(frozen, awake)
    (held,) = {each for each in frozen.heard if each.startswith("+")} - {
        f"+{each[1:]}" for each in frozen.heard if each[0] == "-"
    }
    stale = frozen.source.membership()
    frozen.log.freeze()
    world.cluster.advance(SESSION_MS - 1)
    settle(awake)
    assert held not in awake.heard
    world.cluster.advance(1)
    settle(awake)
    assert held in awake.heard
    frozen.log.thaw()
    sink = frozen.log.sink("zombie")
    sink.begin()
    with pytest.raises(TransactionAborted):
        sink.send_offsets({P0: Committed(1, "")}, stale)
    sink.abort()
    settle(frozen, awake)
    assert f"lost{held[1:]}" in frozen.heard
    assert frozen.heard[-1].startswith("+"), "it has joined again"


def test_a_process_that_was_frozen_for_less_than_its_session_goes_on_as_before() -> None:
    world = World()
    member = Member(world.process(), "m")
    settle(member)
    member.log.freeze()
    world.cluster.advance(SESSION_MS - 1)
    member.log.thaw()
    world.cluster.advance(SESSION_MS)
    settle(member)
    assert member.heard == ["+0", "+1"]


def test_a_frozen_member_holds_a_rebalance_up_until_its_session_ends() -> None:
    world = World()
    frozen, newcomer = Member(world.process(), "frozen"), Member(world.process(), "newcomer")
    settle(frozen)
    frozen.log.freeze()
    settle(newcomer)
    assert newcomer.heard == []
    world.cluster.advance(SESSION_MS)
    settle(newcomer)
    assert newcomer.heard == ["+0", "+1"]


def test_a_frozen_static_member_whose_id_another_takes_is_fenced() -> None:
    world = World()
    frozen = Member(world.process(), "id", static=True)
    settle(frozen)
    frozen.log.freeze()
    heir = Member(world.process(), "id", static=True)
    settle(heir)
    assert heir.heard == ["+0", "+1"]
    frozen.log.thaw()
    with pytest.raises(Fenced):
        frozen.source.poll(1, 0)
    assert frozen.source.poll(1, 0) == []
    frozen.source.close()
    assert frozen.heard == ["+0", "+1"]


def test_a_dead_producers_transaction_holds_its_offsets_open_until_it_times_out() -> None:
    world = World()
    dead = Member(world.process(), "dead")
    settle(dead)
    sink = dead.log.sink("dead")
    sink.begin()
    sink.send_offsets({P0: Committed(5, "")}, dead.source.membership())
    dead.log.freeze()
    reader: MemoryReader = world.log.reader(GROUP)
    world.cluster.advance(TRANSACTION_MS - 1)
    with pytest.raises(Retryable):
        reader.committed([P0])
    world.cluster.advance(1)
    assert reader.committed([P0]) == {P0: None}
    with pytest.raises(Fenced):
        sink.commit()


# The cleaner


def compacted() -> World:
    return World(
        cleanup_policy="compact",
        message_timestamp_type="LogAppendTime",
        min_compaction_lag_ms=str(HOUR_MS),
        delete_retention_ms=str(24 * HOUR_MS),
    )


def test_compaction_spares_what_is_younger_than_its_lag() -> None:
    world = compacted()
    sink = world.log.sink("id")
    world.commit(sink, (b"a", b"1"), (b"a", b"2"))
    world.cluster.advance(HOUR_MS - 1)
    world.commit(sink, (b"a", b"3"))
    world.cluster.compact(TOPIC)
    assert world.values() == [(b"a", b"1"), (b"a", b"2"), (b"a", b"3")]
    world.cluster.advance(1)
    world.cluster.compact(TOPIC)
    assert world.values() == [(b"a", b"2"), (b"a", b"3")], "what is young takes no older value with it"


def test_compaction_never_passes_the_last_stable_offset() -> None:
    world = compacted()
    slow, sink = world.log.sink("slow"), world.log.sink("id")
    world.commit(sink, (b"a", b"1"), (b"a", b"2"))
    write(slow, {b"slow": b"1"})
    world.commit(sink, (b"a", b"3"), (b"a", b"4"))
    world.cluster.clock.advance(HOUR_MS)  # as if the transaction had all the time it wants
    for partition in (P0, P1):
        world.cluster.topics.require(partition).compact(world.cluster.clock.now_ms)
    slow_offset = 4
    kept = world.cluster.topics.require(P0)
    assert kept.last_stable == slow_offset
    world.cluster.advance(0)
    assert world.values() == [(b"a", b"2"), (b"a", b"3"), (b"a", b"4")]


def test_a_tombstone_stays_for_its_time_after_the_first_compaction_that_met_it() -> None:
    world = compacted()
    world.commit(world.log.sink("id"), (b"a", b"1"), (b"a", None))
    world.cluster.advance(HOUR_MS)
    for hours in (0, 23):
        world.cluster.advance(hours * HOUR_MS)
        world.cluster.compact(TOPIC)
        assert world.values() == [(b"a", None)]
    world.cluster.advance(HOUR_MS)
    world.cluster.compact(TOPIC)
    assert world.values() == []
    assert world.admin.high_watermarks([P0]) == {P0: 4}
    reader = world.log.reader()
    reader.assign({P0: 0})
    assert (reader.poll(10, 0), reader.position(P0)) == ([], 4), "a hole up to the end is passed"


def test_retention_takes_the_head_of_the_log() -> None:
    world = World(retention_ms=str(HOUR_MS))
    world.cluster.feed(TOPIC, [(b"a", b"1")], partition=0)
    world.cluster.advance(HOUR_MS - 1)
    world.cluster.feed(TOPIC, [(b"a", b"2")], partition=0)
    world.cluster.expire(TOPIC)
    assert world.admin.earliest([P0]) == {P0: 0}
    world.cluster.advance(1)
    world.cluster.expire(TOPIC)
    assert world.admin.earliest([P0]) == {P0: 1}
    assert world.values() == [(b"a", b"2")]


def test_group_offsets_may_expire() -> None:
    world = World()
    reader = world.log.reader(GROUP)
    reader.commit({P0: Committed(3, "")})
    world.cluster.expire_group_offsets(GROUP)
    assert reader.committed([P0]) == {P0: None}


# Time


def test_what_runs_out_while_time_passes_does_so_in_its_turn() -> None:
    """The session ends after the transaction, though both are over when the clock stops."""
    world = World()
    dead, alive = Member(world.process(), "dead", static=True), Member(world.process(), "alive", static=True)
    settle(dead, alive)
    write(dead.log.sink("dead"), {b"a": b"1"})
    dead.log.freeze()
    world.cluster.advance(SESSION_MS + TRANSACTION_MS)
    assert world.admin.last_stable([P0]) == world.admin.high_watermarks([P0])
    assert [each.client_id for each in world.admin.members(GROUP)] == ["alive"]


def test_clusters_on_one_clock_notice_at_their_next_call() -> None:
    clock = ManualClock()
    cluster = MemoryCluster(clock)
    log = cluster.connect(Settings(transaction_timeout_ms=TRANSACTION_MS, id=None))
    log.admin().create_topics({TOPIC: {}}, 1, 1)
    write(log.sink("id"), {b"a": b"1"})
    clock.advance(TRANSACTION_MS)
    assert log.admin().last_stable([P0]) == {P0: 2}
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)
