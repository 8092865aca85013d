"""Simulation: the ledgers' rules, with tables and changelogs that part company at random, and crashes at any moment."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable
from functools import partial

import pytest

from operators.api import Record
from operators.device import DEVICE_STATE, DEVICE_WINDOWS
from operators.iot import topology
from pipeline.errors import Misconfigured
from pipeline.faust_host.acknowledge import Entry, Line
from pipeline.faust_host.dump import States, shown
from pipeline.faust_host.fold import Folding, Step
from pipeline.faust_host.ledger import decode
from tests.oracle import Parameters
from tests.unit.operators.streams import Folded, events, long_stream

PARAMETERS = Parameters(10, 5, 300)
TOPOLOGY = topology(*PARAMETERS[:3])
OUTPUTS = "outputs"

Rows = dict[bytes, bytes]
Write = tuple[bytes, bytes | None]


def apply(rows: Rows, write: Write) -> None:
    key, value = write
    if value is None:
        rows.pop(key, None)
    else:
        rows[key] = value


class World:
    """One partition: a source, a disk, two changelogs and a topic of outputs, each of which is written on its own."""

    def __init__(self, source: list[Record], seed: int) -> None:
        self._source = source
        self._random = random.Random(seed)
        self._folding = Folding(TOPOLOGY.aggregates[0], partitions=1)
        self.disk: dict[str, Rows] = {DEVICE_STATE: {}, DEVICE_WINDOWS: {}}
        self.log: dict[str, Rows] = {DEVICE_STATE: {}, DEVICE_WINDOWS: {}}
        self.outputs: list[object] = []
        self.seen: Counter[str] = Counter()
        """What the crashes hit."""
        self._committed = 0
        self._start()

    def _start(self) -> None:
        self._next = self._acknowledged = self._committed
        self._line = Line()
        self._queues: dict[str, deque[tuple[object, Callable[[], None]]]] = {
            name: deque() for name in (DEVICE_STATE, DEVICE_WINDOWS, OUTPUTS)
        }

    def run(self, *, crashes: int) -> None:
        while self._committed < len(self._source):
            match self._random.choices(("take", "deliver", "commit", "crash"), (6, 8, 1, 0.4 if crashes else 0))[0]:
                case "take" if self._next < len(self._source):
                    self.take(self._next)
                    self._next += 1
                case "deliver":
                    self.deliver(self._random.choice(list(self._queues)))
                case "commit":
                    self._committed = self._acknowledged
                case "crash":
                    crashes -= 1
                    self._crash(lose_disk=self._random.random() < 0.4)

    def take(self, index: int) -> None:
        record = self._source[index]
        entry = self._line.enter(record.offset, partial(self._acknowledge, index))
        assert record.key is not None
        stored = self.disk[DEVICE_STATE].get(record.key)
        step = self._folding.step(record, stored, self.disk[DEVICE_WINDOWS].get, self._line.settled)
        if step.value is None:
            self._carry_out(record, step, entry)
        else:
            self._write(DEVICE_STATE, (record.key, step.value), lambda: self._carry_out(record, step, entry))

    def _acknowledge(self, index: int) -> None:
        assert index == self._acknowledged, "out of order"
        self._acknowledged = index + 1

    def _carry_out(self, record: Record, step: Step, entry: Entry) -> None:
        effect = step.effect
        rows = [] if effect is None else list(effect.rows.items())
        outputs: list[object] = [] if effect is None else [*effect.results]
        if effect is not None and effect.refusal is not None:
            outputs.append((record.partition, record.offset, effect.refusal[0]))
        left = [len(rows) + len(outputs)]

        def one_less() -> None:
            left[0] -= 1
            if left[0] == 0:
                entry.complete()

        for write in rows:
            self._write(DEVICE_WINDOWS, write, one_less)
        for output in outputs:
            self._queues[OUTPUTS].append((output, one_less))
        if left[0] == 0:
            entry.complete()

    @property
    def under_way(self) -> list[str]:
        """The queues that hold something."""
        return [name for name, waiting in self._queues.items() if waiting]

    def _write(self, table: str, write: Write, then: Callable[[], None]) -> None:
        apply(self.disk[table], write)
        self._queues[table].append((write, then))

    def deliver(self, queue: str, *, heard: bool = True) -> None:
        if self._queues[queue]:
            sent, then = self._queues[queue].popleft()
            if queue == OUTPUTS:
                self.outputs.append(sent)
            else:
                apply(self.log[queue], sent)  # type: ignore[arg-type]
                if not heard:  # so the disk does not count it as known to be in the changelog, and reads it again
                    apply(self.disk[queue], sent)  # type: ignore[arg-type]
            if heard:
                then()

    def _crash(self, *, lose_disk: bool) -> None:
        for queue, waiting in self._queues.items():
            arrived = self._random.choice((0, self._random.randint(0, len(waiting))))
            for _ in range(arrived):  # and nobody was left to hear so
                self.deliver(queue, heard=False)
        self.seen["unacknowledged"] += self._next > self._committed
        self.seen["disk ahead"] += any(self.disk[table] != self.log[table] for table in self.log)
        if lose_disk:
            self.disk = {table: dict(rows) for table, rows in self.log.items()}
        self._start()

    def states(self, rows: dict[str, Rows]) -> States:
        return shown(TOPOLOGY, rows[DEVICE_STATE], rows[DEVICE_WINDOWS])


def nothing_stored(_key: bytes) -> None:
    return None


def stream_of(seed: int) -> list[Record]:
    # An origin belongs to one device: other repetitions than the crashes' would be none of this host's.
    happened = events(step for step in long_stream(seed) if step.odd != "repeat")
    return [event for event in happened if isinstance(event, Record)]


@pytest.mark.parametrize("seed", range(20))
def test_crashes_anywhere_with_and_without_the_disk_change_nothing(seed: int) -> None:
    source = stream_of(seed)
    straight = Folded(PARAMETERS).feed(source)
    world = World(source, seed)
    world.run(crashes=12)
    assert world.seen["unacknowledged"] >= 3
    assert world.seen["disk ahead"] >= 1
    for rows in (world.log, world.disk):
        states = world.states(rows)
        assert states.devices == straight.states()
        assert states.windows == straight.window_rows()
    sent = [each for each in world.outputs if not isinstance(each, tuple)]
    assert {each.value for each in sent} == {each.value for each in straight.outputs}  # type: ignore[attr-defined]
    assert {each for each in world.outputs if isinstance(each, tuple)} == set(straight.refusals)


def test_ledgers_forget_effects_that_are_in_kafka() -> None:
    source = stream_of(1)
    world = World(source, seed=1)
    for index in range(len(source)):
        world.take(index)
        while world.under_way:
            world.deliver(world.under_way[0])
        assert all(len(decode(ledger).unsettled) <= 1 for ledger in world.log[DEVICE_STATE].values())


def test_a_ledger_of_another_source_topic_is_refused() -> None:
    record = stream_of(1)[0]
    folding = Folding(TOPOLOGY.aggregates[0], partitions=1)
    stored = folding.step(record, None, nothing_stored, -1).value
    record.topic_id = "re-created"
    with pytest.raises(Misconfigured, match="source topic that is gone"):
        folding.step(record, stored, nothing_stored, -1)
