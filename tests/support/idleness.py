"""How long partitions go without a commit while input keeps coming."""

from __future__ import annotations

import threading
import time
from typing import Self

from tests.support.cluster import Cluster

LOOK_EVERY_S = 0.25


class Idleness:
    """Watches a stage, in a `with`, from the moment at which each of its partitions was committed to."""

    def __init__(self, cluster: Cluster, stage: str) -> None:
        self._cluster = cluster
        self._stage = stage
        self._positions = cluster.committed(stage)
        self._moved_at = dict.fromkeys(self._positions, time.monotonic())
        self.longest_s = 0.0
        """The longest time between two commits of one partition, over all; one that has not ended counts."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="idleness")
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._note({})
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        try:
            while not self._stopping.wait(LOOK_EVERY_S):
                self._note(self._cluster.committed(self._stage))
        except BaseException as error:
            self._failure = error

    def _note(self, found: dict[int, int]) -> None:
        now = time.monotonic()
        self.longest_s = max(self.longest_s, *(now - at for at in self._moved_at.values()))
        for partition, position in found.items():
            if position > self._positions[partition]:
                self._positions[partition], self._moved_at[partition] = position, now
