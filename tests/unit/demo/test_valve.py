"""The demonstration's input: a steady pace, a trickle beyond the mark, all at once when opened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from pipeline.demo.paced import TRICKLE, Valve
from pipeline.telemetry.poison import Message
from tests.support.waiting import eventually

RATE = 1_000.0
SLICES = 60
"""As many messages go out between two waits, and some more."""
MESSAGES: list[Message] = [(b"press-1", b"%d" % number) for number in range(2_000)]


class Into:
    """A sender that keeps what it gets."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages


@contextmanager
def sending(valve: Valve, stop: threading.Event) -> Iterator[Callable[[], bool]]:
    """All messages on their way; what is given tells whether they have been sent."""
    thread = threading.Thread(target=valve.send, args=(MESSAGES,))
    thread.start()
    try:
        yield lambda: not thread.is_alive()
    finally:
        stop.set()
        valve.open()
        thread.join()


def test_it_keeps_to_its_pace() -> None:
    stop, into = threading.Event(), Into()
    began = time.monotonic()
    with sending(valve := Valve(into, RATE, len(MESSAGES), stop), stop):
        sent = 0
        while sent < 300:
            time.sleep(0.01)
            sent = valve.sent
            assert sent <= RATE * (time.monotonic() - began) + SLICES


def test_beyond_its_mark_it_trickles_until_the_mark_is_moved() -> None:
    stop, into = threading.Event(), Into()
    with sending(valve := Valve(into, RATE, 100, stop), stop):
        eventually(lambda: valve.sent >= 100, "the mark is reached")
        began, reached = time.monotonic(), valve.sent
        time.sleep(0.5)
        sent = valve.sent
        assert sent <= reached + RATE * TRICKLE * (time.monotonic() - began) + SLICES
        valve.up_to(len(MESSAGES))
        eventually(lambda: valve.sent >= 500, "it goes on")


def test_opened_it_sends_the_rest_in_order() -> None:
    stop, into = threading.Event(), Into()
    with sending(valve := Valve(into, RATE, 100, stop), stop) as done:
        eventually(lambda: valve.sent > 0, "it has begun")
        valve.open()
        eventually(done, "all is sent")
    assert into.messages == MESSAGES


def test_stopped_it_sends_no_more() -> None:
    stop, into = threading.Event(), Into()
    with sending(valve := Valve(into, RATE, 100, stop), stop) as done:
        eventually(lambda: valve.sent > 0, "it has begun")
        stop.set()
        valve.open()
        eventually(done, "it gives up")
    assert len(into.messages) < len(MESSAGES)
