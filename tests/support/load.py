"""Input that keeps coming, at a steady pace, for as long as a test needs load."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import islice
from typing import Self

from pipeline.log.feed import Feed
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import BROKEN
from tests.oracle import TelemetryMessage
from tests.support.cluster import Cluster
from tests.support.waiting import PATIENCE_S


class Load:
    """Use it in a `with`: leaving it ends the stream, with all that was sent in the log."""

    def __init__(self, cluster: Cluster, topic: str, messages: Iterator[Message], *, rate: float) -> None:
        """`messages` have no end of their own."""
        self._messages = messages
        self._feed = Feed(cluster.settings, cluster.full(topic), delivery_timeout_s=PATIENCE_S)
        self._stopping = threading.Event()
        self._pace = Pace(rate, sleep=self._sleep)
        self._thread = threading.Thread(target=self._run, name="load")
        self._failure: BaseException | None = None
        self.sent: list[Message] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _sleep(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                messages = list(islice(self._messages, self._pace.slice))
                self._feed.send(messages)
                self.sent += messages
                self._pace.wait(len(messages))
            self._feed.flush()
        except BaseException as error:
            self._failure = error
        finally:
            self._feed.close()


class TelemetryLoad(Load):
    """Made-up telemetry, some of it broken, late, out of order or sent twice."""

    def __init__(self, cluster: Cluster, *, rate: float, devices: int, seed: int = 0) -> None:
        self._good: set[Message] = set()
        super().__init__(cluster, "telemetry", self._made_up(devices, seed), rate=rate)

    def _made_up(self, devices: int, seed: int) -> Iterator[Message]:
        # A reading every 15 s leaves four in a window, so that windows close all the time.
        for batch in Telemetry(Plan(devices, seed, bad=0.01, interval_ms=15_000)):
            for message, code in zip(batch.messages, batch.codes.tolist(), strict=True):
                if code < BROKEN:
                    self._good.add(message)
                yield message

    def accepted(self, message: TelemetryMessage) -> bool:
        """Whether it has to become a reading; one that is sent twice is the same message."""
        return (message.key, message.value) in self._good
