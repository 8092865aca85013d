"""What a demonstration is made of, and when in it what happens."""

from __future__ import annotations

from dataclasses import dataclass

PACED_S = 20.0
"""The input would take so long at its steady pace. It is let loose once the killed worker is back."""
ASK_AT, KILL_AT = 0.25, 0.45
"""Shares of the input that have come through when questions are asked, and when the worker is killed."""
SLOW_BEFORE_KILL, SLOW_BEFORE_RECOVERY = 0.6, 0.75
"""Shares of the input after which it only trickles, so that on a slow machine too the faults happen mid-stream."""


@dataclass(frozen=True)
class DemoPlan:
    """The size of a demonstration. The same seed makes the same telemetry."""

    readings: int = 200_000
    """Messages to send, broken ones included."""
    devices: int = 2_000
    bad_percent: float = 1.0
    seed: int = 0
    partitions: int = 4
    interval_ms: int = 15_000
    """How often each gauge reports, in event time: four readings a window."""

    @property
    def rate(self) -> float:
        """Messages a second of the steady pace."""
        return self.readings / PACED_S
