"""A worker that is killed again and again."""

from __future__ import annotations

import random
import time

from pipeline.runtime.crash import CrashPoint
from tests.support.cluster import UNNAMED, Cluster
from tests.support.load import Load
from tests.support.waiting import eventually


class Victim:
    """A worker under load, which dies and rises as often as it is told."""

    def __init__(self, cluster: Cluster, stage: str, worker_id: str | None, seed: int) -> None:
        self._cluster = cluster
        self._stage = stage
        self._id = worker_id
        self._seat = worker_id or UNNAMED
        self._random = random.Random(seed)
        self._worker = cluster.start(stage, worker_id)

    def suffer(self, kills: int, load: Load) -> int:
        """Die so often, each time at a random moment of its work, every other time with the loss of its disk.

        Returns how much had been sent when the last kill came. Every kill hits work that was begun and not finished:
        while another stage is down this one may have nothing to do, and to kill it then would prove nothing.
        """
        sent = 0
        for number in range(kills):
            eventually(self._works, f"the {self._stage} worker works", pause_s=0.001)
            time.sleep(self._random.random() * 0.5)
            self._worker.kill_at_work()
            sent = len(load.sent)
            if number % 2 and self._cluster.disk(self._stage, self._seat).exists():
                self._cluster.lose_disk(self._stage, self._seat)
            self._worker = self._cluster.start(self._stage, self._id)
        return sent

    def _works(self) -> bool:
        assert self._worker.alive, self._worker.text()
        return CrashPoint.FOLDED <= self._worker.point <= CrashPoint.APPLIED
