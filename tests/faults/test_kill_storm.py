"""A kill -9 each second, of workers that are still restoring what the kill before took from them, if any are."""

from __future__ import annotations

import shutil
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline.runtime.crash import CrashPoint
from pipeline.state.identity import read_identity
from pipeline.state.rocks import RocksStore
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_exactly_once
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import eventually
from tests.support.worker_process import OPEN_WORK, WorkerProcess

NAMES = ("a0", "a1", "a2")
DEVICES = 10_000
RESTORING = frozenset(
    {CrashPoint.RESTORE_PLANNED, CrashPoint.RESTORE_MARKED, CrashPoint.INGESTED, CrashPoint.RESTORE_CHUNK}
)
RESTORED = OPEN_WORK | {CrashPoint.APPLIED, CrashPoint.RESTORED}
EVERY_S = 1.0
IN_A_RESTORE = 0.2
"""Of all kills, how many must hit there."""


class Left(NamedTuple):
    """What a worker that was killed in a restore left, aside."""

    worker_id: str
    life: int
    """Rises with each loss of its disk."""
    stores: Path


class Storm:
    """Workers of the aggregate stage, and what each kill hit."""

    def __init__(self, cluster: Cluster, aside: Path) -> None:
        self._cluster = cluster
        self._aside = aside
        self._workers: dict[str, WorkerProcess] = {name: cluster.start("aggregate", name) for name in NAMES}
        """Those that were started last come last."""
        self._lives: defaultdict[str, int] = defaultdict(int)
        self.points: list[CrashPoint] = []
        self.left: list[Left] = []

    def strike(self, until: float) -> None:
        """Kill one that is between two chunks of a restore, or, if none has been by then, one before or after; start it
        again.
        """
        name = self._victim(until)
        point = self._workers.pop(name).kill()
        disk = self._cluster.disk("aggregate", name)
        if point in RESTORING:
            # Its next life has to go on where this one was.
            stores = self._aside / f"{len(self.points)}-{name}"
            shutil.copytree(disk, stores)
            self.left.append(Left(name, self._lives[name], stores))
        elif disk.exists():
            self._cluster.lose_disk("aggregate", name)
            self._lives[name] += 1
        self.points.append(point)
        self._workers[name] = self._cluster.start("aggregate", name)

    def _victim(self, until: float) -> str:
        while True:
            for name, worker in self._workers.items():
                assert worker.alive, worker.text()
                if worker.point is CrashPoint.RESTORE_CHUNK:
                    return name
            # One that has not come to its restore yet gets there: on a slow machine the pace is slower.
            begun = [name for name, worker in self._workers.items() if worker.point in RESTORING | RESTORED]
            if begun and time.monotonic() >= until:
                return begun[0]
            time.sleep(0.001)


def positions(stores: Path, tables: list[str]) -> dict[str, int]:
    """By store, how much of its changelogs it holds."""
    found = {}
    for directory in sorted(stores.iterdir()):
        identity = read_identity(directory) if directory.name.isdigit() else None
        if identity is not None:
            store = RocksStore.open(directory, identity, tables)
            found[directory.name] = sum(store.position.changelog_next.values())
            store.close()
    return found


def steps(left: list[Left], tables: list[str]) -> int:
    """How often a store had come further by the next kill; none may ever fall back."""
    further = 0
    before: dict[tuple[str, int, str], int] = {}
    for worker_id, life, stores in left:
        for store, position in positions(stores, tables).items():
            seat = (worker_id, life, store)
            assert position >= before.get(seat, 0), f"store {store} of {worker_id} fell back"
            further += seat in before and position > before[seat]
            before[seat] = position
    return further


@pytest.mark.timeout(900)
def test_a_kill_each_second_also_during_restores_costs_no_reading_and_no_restore_its_progress(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None]
) -> None:
    kills, messages = scale(10, full=30), scale(40_000, full=120_000)
    with Cluster(kafka.bootstrap_servers, prefix, tmp_path / "workers", restore_chunk_bytes=1) as cluster:
        cluster.start("transform", "t0")
        storm = Storm(cluster, tmp_path)
        with TelemetryLoad(cluster, rate=5_000, devices=DEVICES, seed=1) as history:
            eventually(lambda: len(history.sent) >= messages, "there is something to restore")
        cluster.drain()
        with TelemetryLoad(cluster, rate=300, devices=DEVICES, seed=2) as load:
            began = time.monotonic()
            for number in range(kills):
                due = began + number * EVERY_S
                time.sleep(max(due - time.monotonic(), 0.0))
                storm.strike(until=due + EVERY_S)
            lasted_s = time.monotonic() - began
            cluster.wait_until_active("aggregate")
            settled_s = time.monotonic() - began - lasted_s
        cluster.drain()
        accepted = (history.accepted, load.accepted)
        expected = assert_exactly_once(cluster, lambda message: any(each(message) for each in accepted))
        assert len(expected.devices) >= DEVICES
        assert_digests_equal(cluster)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= cluster.partitions
        further = steps(storm.left, [table.name for table in cluster.topology.aggregates[0].tables])
    hits = sum(point in RESTORING for point in storm.points)
    assert hits >= kills * IN_A_RESTORE
    if scale.full:  # a bounded storm on a busy machine may kill each restore before its first chunk
        assert further, "no store came further between two kills"
    figure(f"{kills} kills in {lasted_s:.0f} s, {hits} of them in a restore, after which {further} stores came further "
           f"and none fell back; all partitions active {settled_s:.1f} s after the last; "
           f"{len(history.sent) + len(load.sent):,} messages: 0 lost, 0 doubled")  # fmt: skip
