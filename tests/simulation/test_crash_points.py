"""Every crash point alone, and every pair: a worker dies at the first, and whoever comes there next at the second."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import pytest

from pipeline.runtime.crash import CrashPoint
from pipeline.testing.disks import RocksDisk
from pipeline.testing.process import Process
from pipeline.testing.replay import digest_of, rows_of
from tests.simulation.checks import assert_stores_are_prefixes
from tests.simulation.counters import REACHED
from tests.simulation.haste import HASTE
from tests.simulation.history import History
from tests.simulation.scratch import scratch
from tests.simulation.world import STAGE, AggregateWorld
from tests.support.readings import readings

POINTS = list(REACHED)
DEVICES = 6
PASSES = 40
"""Steps in which each chapter of the story comes to its end."""
POLL_INTERVAL_MS = 11_000


class Story:
    """A course of events that comes to every point, and comes there again when it is told anew."""

    def __init__(self, deaths: list[CrashPoint], directory: Path) -> None:
        self.deaths = deaths
        """Still to be died, in this order."""
        numbers = count()
        settings: dict[str, Any] = {"commit_interval_ms": 60, "restore_chunk_bytes": 400, "standby_replicas": 1}
        if CrashPoint.INGESTED in deaths:
            settings["make_disk"] = lambda: RocksDisk(directory / f"disk-{next(numbers)}")
        self.world = AggregateWorld(max_poll_interval_ms=POLL_INTERVAL_MS, **settings)
        self.world.reached = self._reached
        self.history = History(self.world.cluster)
        self._rounds, self._guests = count(), count()
        self.world.aggregate("a0")

    def _reached(self, process: Process, point: CrashPoint) -> None:
        process.dies_at = None
        if self.deaths and point is self.deaths[0]:
            process.dies_at = self.deaths.pop(0)

    def tell(self) -> None:
        self._go_on()
        self.world.cluster.advance(POLL_INTERVAL_MS + 1)  # nobody polls for too long
        self._go_on()
        guest = f"b{next(self._guests)}"
        self.world.aggregate(guest)
        self._go_on()
        for process in self.world.running:
            if process.worker_id == guest:
                process.leave()
                self.world.evict(process)
        self._go_on()
        for process in self.world.running:
            process.kill()
            self.world.lose_disk(STAGE.name, process.worker_id)
        self._go_on()

    def _go_on(self) -> None:
        self.world.cluster.feed(STAGE.source, readings(DEVICES, 1, next(self._rounds)))
        for _ in range(PASSES):
            self.world.run(1)
            for process in list(self.world.processes):
                if process.killed:
                    assert_stores_are_prefixes(self.world, self.history, STAGE)
                    self.world.aggregate(process.worker_id)

    def check(self) -> None:
        assert sum(self.world.committed().values()) >= DEVICES * next(self._rounds)
        for partition in range(self.world.partitions):
            owner = self.world.owner(STAGE, partition)
            assert owner is not None
            with owner.held[partition].store.view() as view:
                live = digest_of(rows_of(view, STAGE))
            assert live == self.world.digest_of_a_plain_fold(partition) == self.world.digest_of_changelogs(partition)
        results = [record.value() for record in self.world.cluster.records("windows")]
        assert len(results) == len(set(results)) > 0
        self.world.stop()
        assert assert_stores_are_prefixes(self.world, self.history, STAGE) >= self.world.partitions


@pytest.mark.parametrize("first", POINTS, ids=lambda point: point.name)
def test_a_worker_that_dies_at_a_point_and_then_at_any_other_loses_and_doubles_nothing(
    first: CrashPoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.state.rocks.INGEST_FROM_ROWS", 2)
    for name, seconds in HASTE.items():
        monkeypatch.setattr(name, seconds)
    for deaths in ([first], *([first, second] for second in POINTS)):
        with scratch() as directory:
            story = Story(deaths.copy(), directory)
            story.tell()
            story.tell()
            assert not story.deaths, f"nobody died at {story.deaths[0].name}"
            story.check()
