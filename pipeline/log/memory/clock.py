"""Time that stands still until somebody turns it."""

from __future__ import annotations

START_MS = 1_735_689_600_000
"""2025-01-01T00:00:00Z: any moment does, as long as it is always the same."""


class ManualClock:
    """Milliseconds since the epoch, for a cluster and for whatever else a simulation drives by the same hand."""

    def __init__(self, now_ms: int = START_MS) -> None:
        self.now_ms = now_ms

    def advance(self, ms: int) -> None:
        """Time-outs of a cluster on this clock run at its next call; `MemoryCluster.advance` runs them on the way."""
        if ms < 0:
            raise ValueError("time goes forward")
        self.now_ms += ms
