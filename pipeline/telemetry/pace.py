"""Sending no faster than asked."""

from __future__ import annotations

import time
from collections.abc import Callable

_SLICES_A_SECOND = 50


class Pace:
    """Keeps to so many messages a second on average since its first; 0 is as fast as it goes."""

    def __init__(
        self,
        rate: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._started: float | None = None
        self._sent = 0

    @property
    def slice(self) -> int:
        """How many messages to send between two waits."""
        return max(1, int(self._rate / _SLICES_A_SECOND)) if self._rate else 20_000

    def wait(self, messages: int) -> None:
        """Wait until the time of the messages that follow these."""
        if not self._rate:
            return
        if self._started is None:
            self._started = self._clock()
        self._sent += messages
        early = self._started + self._sent / self._rate - self._clock()
        if early > 0:
            self._sleep(early)
