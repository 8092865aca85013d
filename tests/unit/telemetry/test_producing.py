"""A run of `produce`, with its sender and its clock held in the hand."""

from __future__ import annotations

import os
from collections.abc import Iterable
from threading import Event

import pytest

from pipeline.producing import Production
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.pace import Pace
from pipeline.telemetry.poison import Message
from tests.unit.telemetry.streams import messages_of


class Sink:
    def __init__(self, stop: Event | None = None, stop_after: int = 0) -> None:
        self.messages: list[Message] = []
        self._stop, self._stop_after = stop, stop_after

    def send(self, messages: Iterable[Message]) -> None:
        self.messages += messages
        if self._stop and len(self.messages) >= self._stop_after:
            self._stop.set()


def ignore(_count: int) -> None:
    pass


@pytest.mark.parametrize("rate", [0.0, 100_000.0])
def test_the_rate_changes_nothing_in_what_is_sent(rate: float) -> None:
    plan, sink = Plan(devices=50, seed=2, bad=0.1), Sink()
    production = Production(sink, Event(), rate=rate, sent=ignore)
    production.make_up(Telemetry(plan), 5_000)
    assert sink.messages == [message for message, _ in messages_of(plan, 5_000)]
    assert production.tally.sent == 5_000


def test_a_run_that_is_stopped_accounts_for_exactly_what_it_sent() -> None:
    stop = Event()
    sink = Sink(stop, stop_after=1_000)
    production = Production(sink, stop, rate=5_000.0, sent=ignore)
    production.make_up(Telemetry(Plan(devices=500, seed=2)), None)
    assert production.tally.sent == len(sink.messages)
    assert 1_000 <= len(sink.messages) < 1_200


def test_no_device_reports_ahead_of_the_clock() -> None:
    sink = Sink()

    class Impatient(Event):
        def wait(self, timeout: float | None = None) -> bool:
            assert timeout is not None
            assert timeout > 3_600
            self.set()
            return True

    Production(sink, Impatient(), sent=ignore).make_up(Telemetry(Plan(devices=5, start_ms=4_000_000_000_000)), 10)
    assert sink.messages == []


def test_a_pipe_is_read_to_its_end() -> None:
    reading, writing = os.pipe()
    os.write(writing, b'{"device_id":"a"}\nnope\n')
    os.close(writing)
    sink = Sink()
    production = Production(sink, Event(), sent=ignore)
    production.read(reading)
    os.close(reading)
    assert (production.lines, production.lines_without_device) == (2, 1)
    assert sink.messages == [(b"a", b'{"device_id":"a"}'), (b"unknown", b"nope")]


def test_a_pipe_where_nothing_comes_can_be_left() -> None:
    reading, writing = os.pipe()
    stop = Event()
    stop.set()
    production = Production(Sink(), stop, sent=ignore)
    production.read(reading)
    assert production.lines == 0
    os.close(reading)
    os.close(writing)


def test_a_pace_keeps_its_rate_on_average() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    pace = Pace(1_000.0, clock=lambda: now[0], sleep=sleep)
    for _ in range(100):
        pace.wait(pace.slice)
        now[0] += 0.001
    assert pace.slice == 20
    assert now[0] == pytest.approx(2.0, abs=0.01)
