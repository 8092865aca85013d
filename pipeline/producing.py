"""Telemetry into Kafka: made up from a plan, or read from a stream; paced, counted, and stopped between two slices."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable
from threading import Event
from typing import Protocol

from pipeline.telemetry.generator import Batch
from pipeline.telemetry.lines import UNKNOWN_KEY, messages_from
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import Tally


class Sender(Protocol):
    """Where messages go, as `pipeline.log.feed.Feed`."""

    def send(self, messages: Iterable[Message]) -> None: ...


class Production:
    """One run: what it sent so far, whether it goes on."""

    def __init__(self, sender: Sender, stop: Event, *, rate: float = 0.0, sent: Callable[[int], None]) -> None:
        """`sent` is told of every slice; setting `stop` ends the run before the next."""
        self._sender = sender
        self._stop = stop
        self._pace = Pace(rate, sleep=self._sleep)
        self._sent = sent
        self.tally = Tally()
        """Of made-up telemetry."""
        self.lines = 0
        self.lines_without_device = 0
        self.event_time_end = 0
        """Every reading sent is older than this."""

    def make_up(self, batches: Iterable[Batch], count: int | None) -> None:
        """Send made-up telemetry: so many messages, or until stopped. No device reports ahead of the wall clock."""
        left = count
        for batch in batches:
            self._sleep(batch.event_time_end / 1000 - time.time())
            for first in range(0, len(batch.messages), self._pace.slice):
                if self._stop.is_set() or left == 0:
                    return
                size = self._pace.slice if left is None else min(self._pace.slice, left)
                messages = batch.messages[first : first + size]
                self.event_time_end = batch.event_time_end
                self._send(messages)
                self.tally.add(batch.codes[first : first + size])
                left = None if left is None else left - len(messages)

    def read(self, descriptor: int) -> None:
        """Send the JSON Lines of a file or a pipe, to its end or until stopped."""
        for messages in messages_from(_Stoppable(descriptor, self._stop)):
            for first in range(0, len(messages), self._pace.slice):
                if self._stop.is_set():
                    return
                part = messages[first : first + self._pace.slice]
                self._send(part)
                self.lines += len(part)
                self.lines_without_device += sum(key == UNKNOWN_KEY for key, _ in part)

    def _send(self, messages: list[Message]) -> None:
        self._sender.send(messages)
        self._sent(len(messages))
        self._pace.wait(len(messages))

    def _sleep(self, seconds: float) -> None:
        if seconds > 0:
            self._stop.wait(seconds)


class _Stoppable:
    """Reads a descriptor, and ends when told to, also while nothing comes."""

    def __init__(self, descriptor: int, stop: Event) -> None:
        self._descriptor = descriptor
        self._stop = stop

    def read1(self, size: int, /) -> bytes:
        while not self._stop.is_set():
            if select.select([self._descriptor], [], [], 0.2)[0]:
                return os.read(self._descriptor, size)
        return b""
