"""How much a rehearsal sends, of what, and how fast."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.telemetry.generator import Plan


@dataclass(frozen=True)
class Load:
    """The size of the input. The same seed makes the same telemetry."""

    messages: int
    """To send, broken ones included; where the input goes on until it is told to end, the least."""
    devices: int
    bad_percent: float
    seed: int
    rate: float
    """Messages a second."""
    interval_ms: int = 15_000
    """How often each gauge reports, in event time: four readings a window."""

    @property
    def telemetry(self) -> Plan:
        return Plan(self.devices, self.seed, self.bad_percent / 100, interval_ms=self.interval_ms)
