"""A worker that is killed again and again."""

from __future__ import annotations

import random
import time
from itertools import cycle, islice
from typing import NamedTuple

from pipeline.runtime.crash import CrashPoint
from tests.support.cluster import UNNAMED, Cluster
from tests.support.load import Load
from tests.support.waiting import eventually
from tests.support.worker_process import OPEN_WORK

FOLDED_ONLY = frozenset({CrashPoint.FOLDED, CrashPoint.CHANGELOG_SENT, CrashPoint.OFFSETS_SENT})
"""Between fold and commit: what was folded is not committed."""
OPEN_TRANSACTION = FOLDED_ONLY - {CrashPoint.FOLDED}
"""Of those, where outputs and changelog of it are in the log already."""
STORED = frozenset({CrashPoint.COMMITTED, CrashPoint.STORE_APPLIED, CrashPoint.APPLIED})
"""A commit is done, and after the next record another begins."""

_TURNS = (FOLDED_ONLY, OPEN_TRANSACTION, FOLDED_ONLY, OPEN_WORK, FOLDED_ONLY, FOLDED_ONLY)
"""Where one kill after the other is to hit."""


class Kill(NamedTuple):
    """What came of one."""

    point: CrashPoint
    """Where it hit, as the trace of the dead tells."""
    sent: int
    """How much the load had sent by then."""
    back_s: float
    """From the kill to the first commit of the next life."""


class Victim:
    """A worker under load, which dies and rises as often as it is told."""

    def __init__(self, cluster: Cluster, stage: str, worker_id: str | None, seed: int) -> None:
        self._cluster = cluster
        self._stage = stage
        self._id = worker_id
        self._seat = worker_id or UNNAMED
        self._turns = islice(cycle(_TURNS), seed % len(_TURNS), None)
        self._random = random.Random(seed)
        self._worker = cluster.start(stage, worker_id)

    def suffer(self, kills: int, load: Load) -> list[Kill]:
        """Die so often, each time at a random moment of its work, every other time with the loss of its disk.

        Every kill hits work that was begun and not finished: while another stage is down this one may have nothing to
        do, and to kill it then would prove nothing. The next comes when it has committed again.
        """
        found = []
        self._commits()
        for number in range(kills):
            time.sleep(self._random.random() * 0.5)
            point = self._worker.kill_at_work(next(self._turns))
            killed_at, sent = time.monotonic(), len(load.sent)
            if number % 2 and self._cluster.disk(self._stage, self._seat).exists():
                self._cluster.lose_disk(self._stage, self._seat)
            self._worker = self._cluster.start(self._stage, self._id)
            self._commits()
            found.append(Kill(point, sent, time.monotonic() - killed_at))
        return found

    def _commits(self) -> None:
        """Wait until its present life has."""

        def committed() -> bool:
            assert self._worker.alive, self._worker.text()
            return self._worker.point in STORED

        eventually(committed, f"the {self._stage} worker commits", pause_s=0.001)
