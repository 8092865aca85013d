"""The demonstration's input: paced so that everything else happens mid-stream, and let loose at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from pipeline.producing import Production, Sender
from pipeline.rehearsal.feeding import Input, feed_of
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.load import Load
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message

TRICKLE = 0.05
"""Of the steady rate, beyond the mark."""


class Valve:
    """A sender in front of another: a steady pace up to a mark, a trickle beyond it, and all at once when opened."""

    def __init__(self, sender: Sender, rate: float, mark: int, stop: threading.Event) -> None:
        self._sender = sender
        self._rate = rate
        self._stop = stop
        self._opened = threading.Event()
        self._mark = mark
        self._trickling = False
        self._pace = Pace(rate, sleep=self._sleep)
        self.sent = 0

    def send(self, messages: Iterable[Message]) -> None:
        waiting = list(messages)
        size = self._pace.slice
        for first in range(0, len(waiting), size):
            if self._stop.is_set():
                return
            part = waiting[first : first + size]
            self._sender.send(part)
            self.sent += len(part)
            if not self._opened.is_set():
                self._wait(len(part))

    def up_to(self, mark: int) -> None:
        """The steady pace again, to this mark."""
        self._mark = mark

    def open(self) -> None:
        self._opened.set()

    def _wait(self, messages: int) -> None:
        trickling = self.sent >= self._mark
        if trickling != self._trickling:
            self._trickling = trickling
            self._pace = Pace(self._rate * TRICKLE if trickling else self._rate, sleep=self._sleep)
        self._pace.wait(messages)

    def _sleep(self, seconds: float) -> None:
        # Woken by the end of the demonstration a slice later at most, and by `open` at once.
        self._opened.wait(seconds)


class PacedInput(Input):
    """So many messages behind a valve."""

    def __init__(self, ground: Ground, load: Load, mark: int) -> None:
        stop, feed = threading.Event(), feed_of(ground)
        self._valve = Valve(feed, load.rate, mark, stop)
        production = Production(self._valve, stop, sent=lambda _count: None)
        super().__init__(load, feed, production, stop, count=load.messages)
        self.sent_before_open = 0
        self.opened_at = 0.0

    @property
    def sent(self) -> int:
        return self._valve.sent

    def up_to(self, mark: int) -> None:
        self._valve.up_to(mark)

    def open(self) -> None:
        """Send the rest as fast as it goes."""
        self.sent_before_open, self.opened_at = self.sent, time.monotonic()
        self._valve.open()

    def close(self) -> None:
        self._valve.open()
        super().close()
