"""`statelog produce`: telemetry for a pipeline, made up or from a file."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.options import Run
from pipeline.errors import Misconfigured

if TYPE_CHECKING:
    from pipeline.log.api import TopicPartition
    from pipeline.producing import Production

INTERRUPTED = 130

Devices = Annotated[int, typer.Option(min=1, max=5_000_000, help="how many devices there are")]
Count = Annotated[int, typer.Option(min=0, help="how many messages; 0 goes on until interrupted")]
Rate = Annotated[float, typer.Option(min=0, help="messages a second; 0 is as fast as it goes")]
Seed = Annotated[int, typer.Option(min=0, help="the same seed gives the same bytes")]
Bad = Annotated[float, typer.Option(min=0, max=100, metavar="PERCENT", help="share of broken messages")]
Start = Annotated[
    str,
    typer.Option(help="event time of the first reading: RFC 3339, ms since 1970, or now; next_start of a run goes on"),
]
Interval = Annotated[str, typer.Option(help="how often each device reports, in event time")]
Source = Annotated[
    str | None, typer.Option("--from", metavar="FILE|-", help="send these JSON Lines instead of making telemetry up")
]


def produce(
    run: Run,
    devices: Devices = 2_000,
    count: Count = 200_000,
    rate: Rate = 0.0,
    seed: Seed = 0,
    bad: Bad = 0.0,
    start: Start = "2025-01-01T00:00:00Z",
    interval: Interval = "10s",
    source: Source = None,
) -> None:
    """Send telemetry: believable devices made up from a seed, or JSON Lines."""
    from pipeline.cli.durations import instant_ms, milliseconds
    from pipeline.log.feed import Feed
    from pipeline.producing import Production
    from pipeline.telemetry.generator import Plan, Telemetry

    topic, partitions = _telemetry_of(run)
    before = _ends(run, partitions)
    with ExitStack() as stack:
        descriptor = None if source is None else stack.enter_context(_opened(source))
        stop = stack.enter_context(_stopped_by_signals())
        feed = Feed(run.settings, topic)
        stack.callback(feed.close)
        began = time.monotonic()
        total = count or None
        with run.output.progress(f"to {topic}", total if descriptor is None else None) as progress:
            production = Production(feed, stop, rate=rate, sent=progress.advance)
            if descriptor is not None:
                production.read(descriptor)
            else:
                plan = Plan(devices, seed, bad / 100, instant_ms(start), milliseconds(interval))
                production.make_up(Telemetry(plan), total)
            feed.flush()
        seconds = time.monotonic() - began
        ends = _ends(run, partitions)
        run.output.record(
            {
                "topic": topic,
                **_account(production, made_up=descriptor is None),
                "seconds": round(seconds, 3),
                "rate": round(feed.delivered / seconds),
                "min_position": [f"{each.partition}:{end - 1}" for each, end in ends.items() if end > before[each]],
            }
        )
        if stop.is_set() and (descriptor is not None or total is not None):
            raise typer.Exit(INTERRUPTED)


def _account(production: Production, *, made_up: bool) -> dict[str, Any]:
    if made_up:
        return {**production.tally.as_dict(), "next_start": production.event_time_end}
    return {"sent": production.lines, "without_device": production.lines_without_device}


def _telemetry_of(run: Run) -> tuple[str, list[TopicPartition]]:
    """The topic at the head of the topology, and its partitions. Raises Misconfigured when it is missing."""
    from pipeline.log.admin import KafkaAdmin
    from pipeline.log.api import TopicPartition
    from pipeline.runtime.start import load_topology

    topic = run.settings.prefix + load_topology(run.settings).first_topic
    found = KafkaAdmin(run.settings).topics([topic])
    if topic not in found:
        raise Misconfigured(f"topic {topic} is missing", hint="`statelog topics create` makes it")
    return topic, [TopicPartition(topic, number) for number in range(found[topic].partitions)]


def _ends(run: Run, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    from pipeline.log.admin import KafkaAdmin

    return KafkaAdmin(run.settings).high_watermarks(partitions)


@contextmanager
def _opened(source: str) -> Iterator[int]:
    """A descriptor of a file, or of stdin for `-`."""
    if source == "-":
        yield sys.stdin.fileno()
        return
    try:
        descriptor = os.open(source, os.O_RDONLY)
    except OSError as error:
        raise Misconfigured(f"cannot read {source}: {(error.strerror or str(error)).lower()}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _stopped_by_signals() -> Iterator[Event]:
    """An event that SIGINT and SIGTERM set, so that what was sent is accounted for."""
    stop = Event()
    kept = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
