"""The stream into the log of one place: as fast as it goes, then at a steady rate in a thread of its own."""

from __future__ import annotations

import threading
from typing import Final

from pipeline.errors import PipelineError
from pipeline.log.feed import Feed
from pipeline.rehearsal.ground import Ground
from pipeline.telemetry.pace import Pace
from pipeline.tradeoff.stream import Stream, slices

AT_ONCE: Final = 20_000


class Input:
    """Close it, or use it in `contextlib.closing`."""

    def __init__(self, ground: Ground, stream: Stream) -> None:
        self._stream = stream
        self._feed = Feed(ground.settings, ground.full(ground.stage.source))
        self.sent = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: Exception | None = None

    def fill(self, count: int) -> None:
        """So many at once; returns when they are in the log."""
        for first, stop in slices(self.sent, self.sent + count, AT_ONCE):
            self._send(first, stop)
        self._feed.flush()

    def start(self, rate: float) -> None:
        """So many a second, until `end`."""
        self._thread = threading.Thread(target=self._run, args=[rate], name="statelog-tradeoff-input", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Send no more; returns when all that was sent is in the log. Raises what sending has met."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.require_well()
        self._feed.flush()

    def require_well(self) -> None:
        """Raises what sending has met."""
        if self._failure is not None:
            raise PipelineError(f"the input broke off: {self._failure}") from self._failure

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._feed.close()

    def _run(self, rate: float) -> None:
        pace = Pace(rate, sleep=self._sleep)
        try:
            while not self._stop.is_set():
                self._send(self.sent, self.sent + pace.slice)
                pace.wait(pace.slice)
        except Exception as error:
            self._failure = error

    def _sleep(self, seconds: float) -> None:
        self._stop.wait(seconds)

    def _send(self, first: int, stop: int) -> None:
        self._feed.send(self._stream.readings(first, stop))
        self.sent = stop
