"""What the generator gives, in pieces that tests can hold."""

from __future__ import annotations

from collections.abc import Iterator

from operators.api import Record
from pipeline.telemetry.generator import Plan, Telemetry
from pipeline.telemetry.poison import Message
from pipeline.telemetry.tally import Tally

NOW_MS = 1_800_000_000_000
"""A Kafka timestamp later than all that is made up from the default start."""


def messages_of(plan: Plan, count: int) -> Iterator[tuple[Message, int]]:
    """The first messages of a plan, each with its code."""
    left = count
    for batch in Telemetry(plan):
        yield from zip(batch.messages[:left], batch.codes[:left].tolist(), strict=True)
        left -= len(batch.messages[:left])
        if not left:
            return


def tally_of(plan: Plan, count: int) -> Tally:
    tally, left = Tally(), count
    for batch in Telemetry(plan):
        tally.add(batch.codes[:left])
        left -= len(batch.codes[:left])
        if not left:
            return tally
    raise AssertionError("the stream ended")


def record(message: Message, offset: int) -> Record:
    return Record(message[0], message[1], NOW_MS, "a-topic-id", 0, offset)
