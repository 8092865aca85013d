"""A message that is said to be in is in, whatever befalls the stages on its way; and in the end each is said to be."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

import pytest

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.topology import DEAD_LETTERS, AggregateStage, TableSpec, Topology, TransformStage
from pipeline.log.api import TopicPartition
from pipeline.partitioning import partition_of
from pipeline.query import upstream
from pipeline.query.problems import Problem
from pipeline.query.upstream import Upstream
from pipeline.query.waiting import Wanted
from pipeline.runtime.crash import CrashPoint
from pipeline.testing.process import Process
from pipeline.testing.world import World
from tests.unit.query.world import AnyKey, Plain, show

PARTITIONS = 3
MESSAGES = 40
BAD = 7
"""Each such message is refused by the first stage, and each one after it by the last."""


class Pass:
    """A transform that hands on what it gets."""

    def __init__(self, topic: str) -> None:
        self._topic = topic

    def transform(self, record: Record) -> Output | Refusal:
        if record.value == b"bad":
            return Refusal("bad", "as a test wants it")
        assert record.key is not None
        return Output(self._topic, record.key, record.value)


class Keep:
    """An aggregate that keeps the last value of a key."""

    def __init__(self, tables: Mapping[str, Table[str]], _context: TaskContext) -> None:
        self._rows = tables["rows"]

    def fold(self, record: Record) -> Refusal | None:
        if record.value in {b"bad", b"late bad"}:
            return Refusal("bad", "as a test wants it")
        assert record.key is not None
        assert record.value is not None
        self._rows.put(record.key, record.value.decode())
        return None


def chain(transforms: int) -> Topology:
    """So many transforms one after the other, then the aggregate."""
    names = [f"t{number}" for number in range(transforms)]
    topics = [f"topic-{number}" for number in range(transforms + 1)]
    stages = [
        TransformStage(name, topics[number], (topics[number + 1],), lambda to=topics[number + 1]: Pass(to))  # type: ignore[misc]
        for number, name in enumerate(names)
    ]
    keep = AggregateStage("keep", topics[-1], (), (TableSpec("rows", AnyKey(), Plain(), show),), Keep)
    # In the order in which nobody would run them but the first: what leads where follows from the topics.
    return Topology("chain", "1", (*stages[:1], keep, *stages[1:]))


class Story:
    """A pipeline that is fed by explicit partitions, so that a message's readings lie in others than it does."""

    runner: asyncio.Runner
    """Of the test: a loop for each question would start a thread for each."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.stage = topology.aggregates[0]
        self.world = World(topology, partitions=PARTITIONS, commit_records=4, poll_records=2, commit_interval_ms=50)
        reader = self.world.cluster.connect(self.world.settings).reader
        self.upstream = Upstream(topology, self.stage, PARTITIONS, "", self.world.admin, reader)
        self.sent: list[tuple[bytes, bytes, int, int]] = []
        self.said: set[bytes] = set()
        self.asked = 0

    def feed(self, count: int) -> None:
        for _ in range(count):
            number = len(self.sent)
            key = f"key-{number}".encode()
            partition = (
                number % PARTITIONS if self.upstream.first != self.stage.source else partition_of(key, PARTITIONS)
            )
            value = {0: b"bad", 1: b"late bad"}.get(number % BAD, b"good")
            offset = self.world.cluster.topics.require(TopicPartition(self.topology.first_topic, partition)).end
            self.world.cluster.feed(self.topology.first_topic, [(key, value)], partition=partition)
            self.sent.append((key, value, partition, offset))

    def start(self) -> None:
        for stage in self.topology.stages:
            self.world.start(stage.name, f"{stage.name}-0")

    def owner(self, partition: int) -> Process | None:
        return self.world.owner(self.stage, partition)

    def ask(self) -> None:
        """Of each message whether it is in; and where that is said, look."""
        for key, value, partition, offset in self.sent:
            if key not in self.said and self.is_said(key, partition, offset):
                self._look(key, value)
                self.said.add(key)

    def is_said(self, key: bytes, partition: int, offset: int) -> bool:
        self.asked += 1

        async def bounds() -> Mapping[int, int]:
            return await self.upstream.bounds(Wanted({partition: offset}, deadline=0.0))

        try:
            found = self.runner.run(bounds())
        except Problem as problem:
            if problem.kind != "not-yet":
                raise
            return False
        home = partition_of(key, PARTITIONS)
        owner = self.owner(home)
        return owner is not None and owner.held[home].folded_to >= found.get(home, 0)

    def _look(self, key: bytes, value: bytes) -> None:
        home = partition_of(key, PARTITIONS)
        owner = self.owner(home)
        assert owner is not None
        with owner.held[home].store.view() as view:
            row = view.get("rows", key)
        assert (row is not None) == (value == b"good"), f"{key!r} was said to be in"
        # It is there, though perhaps behind a record of somebody's open transaction, so that nobody can read it yet.
        assert (key in self._letters()) == (value != b"good")

    def _letters(self) -> set[bytes | None]:
        topic = self.world.cluster.topics.get(DEAD_LETTERS)
        assert topic is not None
        return {record.key() for log in topic.partitions for record in log._records}

    def assert_all_is_in(self) -> None:
        assert len(self.said) == MESSAGES
        self.world.stop()
        refused = sorted(record.key() or b"" for record in self.world.cluster.records(DEAD_LETTERS))
        assert refused == sorted(key for key, value, *_ in self.sent if value != b"good")

    def run(self, steps: int) -> None:
        for _ in range(steps):
            for process in list(self.world.processes):
                process.step()
                self.ask()


@pytest.fixture(autouse=True)
def runner(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(upstream, "PAUSE_S", 0.0)
    with asyncio.Runner() as runner:
        monkeypatch.setattr(Story, "runner", runner, raising=False)
        yield


@pytest.mark.parametrize("transforms", [0, 1, 2])
def test_what_is_said_to_be_in_is_in_and_all_is_said_to_be_in_at_the_end(transforms: int) -> None:
    story = Story(chain(transforms))
    story.start()
    for _ in range(4):
        story.feed(MESSAGES // 4)
        story.run(6)
    story.run(30)
    story.assert_all_is_in()
    assert story.asked > 2 * MESSAGES, "most were asked about more than once: the pipeline was watched on its way"


@pytest.mark.parametrize("late", [1, 2])
def test_a_marker_that_is_late_makes_nobody_say_too_much(late: int) -> None:
    """The stage's offsets are committed, and what it sent cannot be read yet: the end of the log lies behind it all."""
    story = Story(chain(2))
    story.start()
    story.run(10)
    topic = f"topic-{late}"
    story.world.cluster.hold_markers(topic)
    story.feed(MESSAGES)
    story.run(20)
    waiting = len(story.said)
    assert waiting < MESSAGES
    for _ in range(100):
        story.world.cluster.release_markers(topic)
        story.run(1)
    story.assert_all_is_in()


@pytest.mark.parametrize("stage", ["t0", "keep"])
@pytest.mark.parametrize("point", [CrashPoint.FOLDED, CrashPoint.OFFSETS_SENT, CrashPoint.COMMITTED])
def test_crashes_on_the_way_make_nobody_say_too_much(stage: str, point: CrashPoint) -> None:
    story = Story(chain(1))
    story.start()
    story.run(10)
    story.feed(MESSAGES // 2)
    victim = next(each for each in story.world.processes if each.stage.name == stage)
    victim.dies_at = point
    story.run(20)
    assert not victim.alive, "the crash has to happen"
    story.feed(MESSAGES // 2)
    story.world.start(stage, f"{stage}-0")
    story.run(60)
    story.assert_all_is_in()


def test_a_partition_that_moves_while_one_waits_takes_what_was_found_out_along() -> None:
    story = Story(chain(1))
    story.start()
    story.run(10)
    story.feed(MESSAGES // 2)
    story.run(2)
    story.world.start("keep", "keep-1")
    story.feed(MESSAGES // 2)
    story.run(60)
    owners = {owner.worker_id for each in range(PARTITIONS) if (owner := story.owner(each)) is not None}
    assert owners == {"keep-0", "keep-1"}
    story.assert_all_is_in()


def test_markers_and_aborted_records_at_the_tail_are_waited_for_by_nobody() -> None:
    """The position of a message may be one of a marker, where the sender used a transaction."""
    story = Story(chain(1))
    story.start()
    story.run(10)
    sink = story.world.cluster.connect(story.world.settings).sink("a-sender")
    for commit in (True, False):
        sink.begin()
        sink.send(story.topology.first_topic, b"key", b"good", 0)
        sink.flush()
        (sink.commit if commit else sink.abort)()
    partition = partition_of(b"key", PARTITIONS)
    tail = story.world.cluster.topics.require(TopicPartition(story.topology.first_topic, partition)).end - 1
    story.run(30)
    assert any(story.is_said(b"key", partition, tail) for _ in range(3)), "that it stands still takes two looks"


def test_a_stage_that_the_first_topic_does_not_lead_to_says_so() -> None:
    one, other = chain(1), AggregateStage("other", "elsewhere", (), (), Keep)
    circle = TransformStage("circle", "topic-1", ("topic-0",), lambda: Pass("topic-0"))
    for topology, stage in (
        (Topology("x", "1", (*one.stages, other)), other),
        (Topology("x", "1", (*one.stages, circle)), one.aggregates[0]),
    ):
        world = World(one, partitions=PARTITIONS)
        asked = Upstream(topology, stage, PARTITIONS, "", world.admin, world.cluster.connect(world.settings).reader)

        async def bounds(asked: Upstream = asked) -> Mapping[int, int]:
            return await asked.bounds(Wanted({0: 0}, deadline=0.0))

        with pytest.raises(Problem) as refused:
            asyncio.run(bounds())
        assert refused.value.kind == "bad-parameter"
