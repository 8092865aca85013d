"""What has to happen sometimes: a simulation that never came there would prove nothing of it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pipeline.runtime.crash import CrashPoint

SOMETIMES: Final = (
    "message", "commit", "abort", "fence", "zombie woke", "restart after a crash", "restore", "restore interrupted",
    "rollback after unknown commit", "unknown commit that happened", "marker delayed", "compaction",
    "compaction during restore", "lost disk", "standstill", "partitions moved", "partitions lost", "id stolen",
    "left in good order", "start refused", "input aborted", "long night", "forgotten", "refused by transform",
    "refused by aggregate", "window closed", "stores checked", "killed", "standby followed", "standby taken over",
)  # fmt: skip
"""Over a few hundred seeds."""
REACHED: Final = tuple(point for point in CrashPoint if point not in {CrashPoint.IDLE, CrashPoint.RECEIVED})
"""Checkpoints come from peers by HTTP, which nobody speaks here: tests/integration/test_peer_checkpoint.py."""
OVER_THOUSANDS: Final = ("orphan of a static restart", *(f"killed at {point.name}" for point in REACHED))
"""Each of them, too."""
MANY: Final = 5_000


def never(counts: Counter[str], seeds: int) -> list[str]:
    """What should have happened in so many seeds, and did not."""
    return [name for name in (*SOMETIMES, *(OVER_THOUSANDS if seeds >= MANY else ())) if not counts[name]]
