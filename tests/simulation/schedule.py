"""One seed, one run: what happens, in which order, is drawn from the seed; then the promises are checked."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from itertools import count
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from operators.iot import topology
from operators.topology import AggregateStage
from pipeline.errors import Fenced, PipelineError, Retryable, StateLocked
from pipeline.log.memory import GROUP_OFFSETS
from pipeline.runtime.crash import CrashPoint
from pipeline.testing.disks import Disk, MemoryDisk, RocksDisk
from pipeline.testing.process import Process
from pipeline.testing.world import World
from tests.simulation import checks
from tests.simulation.events import EVENTS
from tests.simulation.haste import HASTE
from tests.simulation.history import History
from tests.simulation.input import Input
from tests.simulation.scratch import scratch

TOPOLOGY = topology()
STAGE: AggregateStage = TOPOLOGY.aggregates[0]
WORKERS = {"transform": ("t0", "t1"), "aggregate": ("a0", "a1", "a2")}

SESSION_MS, TRANSACTION_MS, POLL_INTERVAL_MS = 3_000, 2_500, 5_000
COMPACTION_LAG_MS = 2_000
ROCKS_ONE_IN = 40
"""Of the seeds, the share that runs on a real disk."""
INGEST_FROM_ROWS = 1
DRAIN_PASSES = 4_000
DRAIN_TURN = 40
"""Passes after which time moves, so that whatever the dead left open runs out."""


class Outcome(NamedTuple):
    """What came of a seed."""

    seed: int
    trace: str
    """A hash of everything that happened, in its order."""
    counts: Counter[str]
    rocks: bool


class Simulation:
    """A world, and what has happened in it so far."""

    def __init__(self, seed: int, directory: Path | None) -> None:
        """With a directory, stores are on a real disk."""
        self.seed = seed
        self.chance = chance = random.Random(seed)
        self.on_disk = directory is not None
        self.counts: Counter[str] = Counter()
        self.lines: list[str] = []
        """The story, a line each."""
        self.world = World(
            TOPOLOGY,
            partitions=chance.choice((1, 2, 2, 3)),
            make_disk=self._disks(directory),
            max_poll_interval_ms=POLL_INTERVAL_MS,
            topic_config={each: {"min.compaction.lag.ms": str(COMPACTION_LAG_MS)} for each in TOPOLOGY.changelogs},
            session_timeout_ms=SESSION_MS,
            transaction_timeout_ms=TRANSACTION_MS,
            commit_records=chance.choice((3, 7, 20)),
            commit_interval_ms=chance.choice((20, 60, 150)),
            poll_records=chance.randint(1, 5),
            cache_entries=chance.choice((0, 6, 1_000)),
            restore_chunk_bytes=chance.choice((1, 400, 10_000)),
            standby_replicas=chance.choice((0, 1, 1, 2)),
        )
        self.world.reached = self._reached
        self.history = History(self.world.cluster)
        self.input = Input(self.world.cluster, chance, self.world.settings)
        self.dynamic = {worker: chance.random() < 0.4 for workers in WORKERS.values() for worker in workers}
        self.wanted = {(stage, worker) for stage, workers in WORKERS.items() for worker in workers[:2]}
        """Workers that somebody would start again."""
        self.machines = count(1)
        self.held_markers = False

    def _disks(self, directory: Path | None) -> Callable[[], Disk]:
        if directory is None:
            return MemoryDisk
        numbers = count()
        return lambda: RocksDisk(directory / f"disk-{next(numbers)}")

    def say(self, line: str) -> None:
        self.lines.append(line)

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def _reached(self, process: Process, point: CrashPoint) -> None:
        self.say(f"{process!r} {point.name}")
        if point is CrashPoint.COMMITTED:
            self.count("commit")
        elif point is CrashPoint.RESTORED and CrashPoint.RESTORE_MARKED in process.reached:
            self.count("restore")
        elif point is CrashPoint.REVOKED:
            self.count("partitions moved")
        elif point is CrashPoint.LOST:
            self.count("partitions lost")
        elif point is CrashPoint.TAILED:
            self.count("standby followed")
        elif point is CrashPoint.TAKEN_OVER:
            self.count("standby taken over")

    # What processes do

    def act(self, process: Process, act: Callable[[], None]) -> None:
        """One step of a process, and what becomes of it."""
        aborts = process.metrics.aborts
        try:
            act()
        except Fenced as error:
            self.say(f"{process!r} is fenced: {error}")
            self.count("fence")
        if process.killed and process.dies_at is not None:
            self.count(f"killed at {process.dies_at.name}")
            self._note_death(process)
        if process.metrics.aborts > aborts:
            self.say(f"{process!r} aborted")
            self.count("abort")

    def _note_death(self, process: Process) -> None:
        if any(task.store.restoring is not None for task in process.held.values()):
            self.count("restore interrupted")

    def kill(self, process: Process) -> None:
        self._note_death(process)
        process.kill()
        self.count("killed")

    def start(self, stage: str, worker: str, machine: str | None = None) -> Process | None:
        """Start a worker, which may be refused: then its supervisor would try again."""
        reborn = any(each.killed for each in self.world.processes if each.worker_id == worker)
        try:
            process = self.world.start(stage, worker, dynamic=self.dynamic[worker], machine=machine)
        except (Retryable, StateLocked) as error:  # markers are on their way; a zombie has the disk
            self.say(f"{worker} cannot start: {error}")
            self.count("start refused")
            return None
        self.say(f"{process!r} starts")
        if reborn:
            self.count("restart after a crash")
        return process

    def running(self, stage: str | None = None) -> list[Process]:
        return [each for each in self.world.running if stage in {None, each.stage.name}]

    def absent(self) -> list[tuple[str, str]]:
        """Wanted workers of which no process is left, not even one that stands still."""
        there = {(each.stage.name, each.worker_id) for each in self.world.processes if each.alive}
        return sorted(self.wanted - there)

    # The run

    def run(self) -> Outcome:
        for stage, worker in sorted(self.wanted):
            self.start(stage, worker)
        names = list(EVENTS)
        weights = [EVENTS[name].weight for name in names]
        for name in self.chance.choices(names, weights, k=self.chance.randint(60, 150)):
            self.say(f"— {name}")
            EVENTS[name].happen(self)
        self._heal()
        self._check()
        for topic in self.world.cluster.topics:
            self.lines += map(repr, self.world.cluster.records(topic.name))
        trace = hashlib.sha256("\n".join(self.lines).encode()).hexdigest()
        return Outcome(self.seed, trace, self.counts, self.on_disk)

    def _heal(self) -> None:
        """No more faults: everybody comes back, and the work is done."""
        self.say("— heal")
        self.input.end(commit=True)
        self.release_markers()
        for process in self.world.processes:
            process.dies_at = None
            if process.frozen:
                self.thaw(process)
        for number in range(DRAIN_PASSES):
            if number % DRAIN_TURN == 0:
                self.world.cluster.advance(SESSION_MS // 5)
                for stage, worker in self.absent():
                    self.start(stage, worker)
                self._count_orphans()
            for process in list(self.world.processes):
                self.act(process, process.step)
            if not self.world.unrest():
                return
        raise AssertionError("it does not come to rest: " + "; ".join(self.world.unrest()))

    def _count_orphans(self) -> None:
        """A partition on its way from one member to another is nobody's if its former owner, a static member, dies and
        comes back before it has joined again: it gets its seat, with no rebalance. The workers have to see to that.
        """
        for stage in TOPOLOGY.stages:
            group = self.world.cluster.group(stage.name)
            given = {each for member in group.members.values() for each in (*member.assigned, *member.client.owned)}
            if group.members and len(given) < self.world.partitions and group.settled:
                self.say(f"a partition of {stage.source} is nobody's")
                self.count("orphan of a static restart")

    def _check(self) -> None:
        checks.assert_nothing_was_unseen(self.world, self.history)
        self.counts["stores checked"] += checks.assert_stores_are_prefixes(self.world, self.history, STAGE)
        checks.assert_replay_is_identity(self.world, STAGE)
        found = checks.assert_folded_once(self.world, STAGE, self.input.good)
        self.counts["refused by transform"] += self.input.refused
        self.counts["refused by aggregate"] += len(found.refusals)
        self.counts["window closed"] += sum(map(len, found.results.values()))
        self.counts["forgotten"] += self.input.forgotten
        self.counts["message"] += len(self.input.good)
        self.world.stop()
        self.counts["stores checked"] += checks.assert_stores_are_prefixes(self.world, self.history, STAGE)

    # Shared by several events

    def release_markers(self) -> None:
        late = self.world.cluster.release_markers()
        self.held_markers = False
        if late:
            self.counts["marker delayed"] += late

    def hold_markers(self) -> None:
        topics = self.chance.choice(((), (GROUP_OFFSETS,), ("readings",), TOPOLOGY.changelogs[:1], TOPOLOGY.changelogs))
        self.world.cluster.hold_markers(*topics)
        self.held_markers = True

    def thaw(self, process: Process) -> None:
        self.say(f"{process!r} wakes")
        if process.active and not self._is_member(process):
            self.count("zombie woke")
        process.thaw()

    def _is_member(self, process: Process) -> bool:
        members = self.world.cluster.group(process.identity.group).members.values()
        return any(each.client.client_id == process.identity.client_id for each in members)


def simulate(seed: int, *, rocks: bool | None = None, story: list[str] | None = None) -> Outcome:
    """Run a seed; AssertionError, or whatever a worker ended by, when a promise was broken.

    `story` is filled with what happened, also when it fails.
    """
    on_disk = seed % ROCKS_ONE_IN == 0 if rocks is None else rocks
    simulation = None
    try:
        with (
            scratch() if on_disk else nullcontext() as directory,
            patch("pipeline.state.rocks.INGEST_FROM_ROWS", INGEST_FROM_ROWS),
            ExitStack() as haste,
        ):
            for name, seconds in HASTE.items():
                haste.enter_context(patch(name, seconds))
            simulation = Simulation(seed, directory)
            return simulation.run()
    except (AssertionError, PipelineError) as error:
        error.add_note(f"seed {seed}: python -m tests.simulation --seed {seed} tells the story")
        raise
    finally:
        if simulation is not None and story is not None:
            story += simulation.lines
