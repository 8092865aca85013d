"""The input: made-up telemetry, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

from pipeline.errors import PipelineError
from pipeline.log.feed import Feed
from pipeline.producing import Production
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.load import Load
from pipeline.telemetry.generator import Batch, Telemetry
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import BROKEN, Tally

PATIENCE_S = 300.0
"""For one delivery: a broker that comes back is waited for."""


def feed_of(ground: Ground) -> Feed:
    """Where telemetry goes."""
    topic = ground.full(ground.topology.stages[0].source)
    return Feed(ground.settings, topic, delivery_timeout_s=PATIENCE_S)


class Input:
    """The telemetry of one load on its way; `tally` and `broken` are the account of what was sent."""

    def __init__(
        self, load: Load, feed: Feed, production: Production, stop: threading.Event, *, count: int | None
    ) -> None:
        """`production` sends into `feed`, and ends by `stop`, or after `count` messages. Not started yet."""
        self.load = load
        self._stop = stop
        self._feed = feed
        self._production = production
        self._count = count
        self._thread = threading.Thread(target=self._run, name="statelog-rehearsal-input", daemon=True)
        self._failure: Exception | None = None
        self.broken: set[Message] = set()
        """What was broken on purpose."""
        self.ended_at: float | None = None

    @property
    def sent(self) -> int:
        return self.tally.sent

    @property
    def expected(self) -> int:
        """How many it will have sent at the least."""
        return max(self.load.messages, self.sent) if self.ended_at is None else self.sent

    @property
    def tally(self) -> Tally:
        """Final once the input has ended."""
        return self._production.tally

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Send no more; returns when all that was sent is in the log. Raises what sending has met."""
        self._stop.set()
        self._thread.join()
        self.require_well()

    def require_well(self) -> None:
        """Raises what sending has met."""
        if self._failure is not None:
            raise PipelineError(f"the input broke off: {self._failure}") from self._failure

    def close(self) -> None:
        """End it, whether it was started or not."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._feed.close()

    def _run(self) -> None:
        try:
            self._production.make_up(self._noted(Telemetry(self.load.telemetry)), self._count)
            self._feed.flush()
            self.ended_at = time.monotonic()
        except Exception as error:
            self._failure = error

    def _noted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            spoilt = (batch.codes >= BROKEN).nonzero()[0].tolist()
            self.broken.update(batch.messages[index] for index in spoilt)
            yield batch


def endless(ground: Ground, load: Load) -> Input:
    """At the load's rate, until it is told to end."""
    stop, feed = threading.Event(), feed_of(ground)
    return Input(load, feed, Production(feed, stop, rate=load.rate, sent=lambda _count: None), stop, count=None)
