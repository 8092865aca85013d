"""The worker's clocks, given to it, so that a simulation can turn them by hand."""

from __future__ import annotations

import time
from typing import Final, Protocol


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, never set back."""
        ...


class _MachineClock:
    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()


MACHINE_CLOCK: Final[Clock] = _MachineClock()
