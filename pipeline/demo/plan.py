"""What a demonstration is made of, and when in it what happens."""

from __future__ import annotations

from pipeline.rehearsal.load import Load

PACED_S = 20.0
"""The input would take so long at its steady pace. It is let loose once the killed worker is back."""
ASK_AT, KILL_AT = 0.25, 0.45
"""Shares of the input that have come through when questions are asked, and when the worker is killed."""
SLOW_BEFORE_KILL, SLOW_BEFORE_RECOVERY = 0.6, 0.75
"""Shares of the input after which it only trickles, so that on a slow machine too the faults happen mid-stream."""


def load_of(readings: int = 200_000, devices: int = 2_000, bad_percent: float = 1.0, seed: int = 0) -> Load:
    """What a demonstration sends, at the steady pace."""
    return Load(readings, devices, bad_percent, seed, rate=readings / PACED_S)
