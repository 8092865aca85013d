"""The input: made-up telemetry, in a thread of its own, paced so that everything else happens mid-stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pipeline.demo.ground import Ground
from pipeline.demo.plan import DemoPlan
from pipeline.errors import PipelineError
from pipeline.log.feed import Feed
from pipeline.producing import Production, Sender
from pipeline.telemetry.generator import Batch, Plan, Telemetry
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import BROKEN, Tally

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


class Input:
    """The stream of telemetry of one plan; `tally` and `broken` are the account of what was sent."""

    def __init__(self, ground: Ground, plan: DemoPlan, mark: int) -> None:
        self._plan = plan
        self._stop = threading.Event()
        self._feed = Feed(ground.settings, ground.full(ground.topology.stages[0].source))
        self._valve = Valve(self._feed, plan.rate, mark, self._stop)
        self._production = Production(self._valve, self._stop, sent=lambda _count: None)
        self._thread = threading.Thread(target=self._run, name="statelog-demo-input", daemon=True)
        self._failure: Exception | None = None
        self.broken: set[Message] = set()
        """What was broken on purpose."""
        self.sent_before_open = 0
        self.opened_at = 0.0
        self.ended_at: float | None = None

    @property
    def sent(self) -> int:
        return self._valve.sent

    @property
    def tally(self) -> Tally:
        """Final once the input has ended."""
        return self._production.tally

    def start(self) -> None:
        self._thread.start()

    def up_to(self, mark: int) -> None:
        self._valve.up_to(mark)

    def open(self) -> None:
        """Send the rest as fast as it goes."""
        self.sent_before_open, self.opened_at = self.sent, time.monotonic()
        self._valve.open()

    def require_well(self) -> None:
        """Raises what sending has met."""
        if self._failure is not None:
            raise PipelineError(f"the input broke off: {self._failure}") from self._failure

    def close(self) -> None:
        self._stop.set()
        self._valve.open()
        if self._thread.is_alive():
            self._thread.join()
        self._feed.close()

    def _run(self) -> None:
        plan = self._plan
        telemetry = Telemetry(Plan(plan.devices, plan.seed, plan.bad_percent / 100, interval_ms=plan.interval_ms))
        try:
            self._production.make_up(self._noted(telemetry), plan.readings)
            self._feed.flush()
            self.ended_at = time.monotonic()
        except Exception as error:
            self._failure = error

    def _noted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            spoilt = (batch.codes >= BROKEN).nonzero()[0].tolist()
            self.broken.update(batch.messages[index] for index in spoilt)
            yield batch


@contextmanager
def input_on(ground: Ground, plan: DemoPlan, mark: int) -> Iterator[Input]:
    """An input that ends with the block at the latest; not started yet."""
    source = Input(ground, plan, mark)
    try:
        yield source
    finally:
        source.close()
