"""Time for simulated workers: it stands until somebody turns it."""

from __future__ import annotations

from pipeline.log.memory import ManualClock

TICK_S = 0.01
"""What a step of a worker takes, by its own stopwatch."""


class TurnedClock:
    """`pipeline.runtime.clock.Clock` over the cluster's.

    Steps take no time that anybody can see in a record. But whoever waits a little (a commit interval, a pause before
    the next try) waits by `monotonic`, and that moves with each step too.
    """

    def __init__(self, cluster: ManualClock) -> None:
        self._cluster = cluster
        self._ticks = 0

    def tick(self) -> None:
        """A step was done."""
        self._ticks += 1

    def now_ms(self) -> int:
        return self._cluster.now_ms

    def monotonic(self) -> float:
        return self._cluster.now_ms / 1000 + self._ticks * TICK_S
