"""What a user wants measured, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Order:
    """The same for every place."""

    readings: int
    """In the log before the first worker starts."""
    devices: int
    rate: float
    """Readings a second, once those are folded."""
    seconds: float
    """At that rate, to measure latencies and traffic."""
    kills: int
    seed: int = 0
    questions: float = 25.0
    """A second, at that rate."""
