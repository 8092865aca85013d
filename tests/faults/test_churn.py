"""Workers that join and leave each second, faster than anybody should let them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.brokers import Kafka
from tests.support.cluster import Cluster
from tests.support.exactness import assert_digests_equal, assert_exactly_once
from tests.support.idleness import Idleness
from tests.support.load import TelemetryLoad
from tests.support.prefixes import assert_stores_are_prefixes
from tests.support.scale import Scale
from tests.support.waiting import eventually
from tests.support.worker_process import WorkerProcess

PARTITIONS = 6
MOST, LEAST = 6, 2
DEVICES = 60
SESSION_MS = 3_000
IDLE_LIMIT_S = 15.0
EVERY_S = 1.0


class Crowd:
    """The workers of the aggregate stage: from one to six, and then between two and six, one more or less at a time."""

    def __init__(self, cluster: Cluster, *, static: bool) -> None:
        self._cluster = cluster
        self._static = static
        self._random = random.Random(1)
        self._here: dict[str, WorkerProcess] = {}
        self._last: dict[str, WorkerProcess] = {}
        """Of those that are not here, the process that was."""
        self._asked: list[WorkerProcess] = []
        self._growing = True
        self.joins = self.leaves = self.kills = 0
        self.slowest_start_s = 0.0
        self._since: dict[str, float] = {}
        """Of those whose start is under way, when it began, by the wall clock."""
        self.join()

    def join(self) -> None:
        name = next(name for name in (f"a{number}" for number in range(MOST)) if name not in self._here)
        if name in self._last:
            self._last[name].wait()  # nobody starts a worker beside one that is still on its way out
        self._here[name] = self._cluster.start("aggregate", name if self._static else None)
        self._since[name] = time.time()
        self.joins += 1

    def leave(self) -> None:
        """In good order; of those with a seat every other by kill -9. Who comes back within its session takes it."""
        eventually(lambda: bool(self._started()), "somebody is there who can leave")
        name = self._random.choice(self._started())
        worker = self._last[name] = self._here.pop(name)
        assert worker.alive, worker.text()
        self.leaves += 1
        if self._static and self.leaves % 2:
            worker.kill()
            self.kills += 1
        else:
            worker.ask_to_stop()
            self._asked.append(worker)

    def _started(self) -> list[str]:
        """Those who would hear a signal."""
        started = {name: worker.events("worker starts") for name, worker in sorted(self._here.items())}
        for name, lines in started.items():
            if lines and name in self._since:
                took_s = datetime.fromisoformat(lines[0]["timestamp"]).timestamp() - self._since.pop(name)
                self.slowest_start_s = max(self.slowest_start_s, took_s)
        return [name for name, lines in started.items() if lines]

    def move(self) -> None:
        self._started()
        if len(self._here) >= MOST:
            self._growing = False
        elif len(self._here) <= LEAST:
            self._growing = True
        self.join() if self._growing else self.leave()

    def settle(self) -> None:
        """Until two are left, and all that left did so in good order."""
        while len(self._here) > LEAST:
            self.leave()
        for worker in self._asked:
            assert worker.wait() == 0, worker.text()
        assert all(worker.alive for worker in self._here.values())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("static", [False, True], ids=["dynamic", "static"])
def test_workers_may_join_and_leave_each_second(
    kafka: Kafka, prefix: str, tmp_path: Path, scale: Scale, figure: Callable[[str], None], static: bool
) -> None:
    lasts_s = scale(14.0, full=120.0)
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path,
        partitions=PARTITIONS,
        session_timeout_ms=SESSION_MS,
        transaction_timeout_ms=2_500,
    ) as cluster:
        cluster.start("transform", "t0")
        crowd = Crowd(cluster, static=static)
        with TelemetryLoad(cluster, rate=600, devices=DEVICES) as load:
            cluster.wait_until_active("aggregate")
            eventually(lambda: all(cluster.committed("aggregate").values()), "each partition is committed to")
            began, before = time.monotonic(), sum(cluster.committed("aggregate").values())
            with Idleness(cluster, "aggregate") as idleness:
                number = 0
                while (due := began + number * EVERY_S) < began + lasts_s:
                    time.sleep(max(due - time.monotonic(), 0.0))
                    crowd.move()
                    number += 1
                crowd.settle()
                progress = sum(cluster.committed("aggregate").values()) - before
                lasted_s = time.monotonic() - began
                cluster.wait_until_active("aggregate")
                still = cluster.committed("aggregate")
                eventually(
                    lambda: all(now > still[each] for each, now in cluster.committed("aggregate").items()),
                    "each partition goes on",
                )
        cluster.drain()
        assert len(assert_exactly_once(cluster, load.accepted).devices) == DEVICES
        assert_digests_equal(cluster)
        cluster.stop()
        assert assert_stores_are_prefixes(cluster, cluster.topology.aggregates[0]) >= PARTITIONS
    assert crowd.joins >= MOST
    assert crowd.leaves >= lasts_s * 0.3
    assert idleness.longest_s < scale.within_s(IDLE_LIMIT_S)
    figure(f"{crowd.joins} joins, {crowd.leaves} leaves ({crowd.kills} by kill -9) in {lasted_s:.0f} s: "
           f"{progress / lasted_s:.0f} readings/s on the way, longest standstill of a partition "
           f"{idleness.longest_s:.1f} s where a start took up to {crowd.slowest_start_s:.1f} s; "
           f"{len(load.sent)} messages: 0 lost, 0 doubled")  # fmt: skip
