"""What the pipeline made of its input, as a reader that honours transactions sees it, and what it serves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pipeline.log.api import Message
from pipeline.log.kafka import connect
from pipeline.log.reading import read
from pipeline.rehearsal.ground import Ground
from pipeline.rehearsal.recount import Sent


@dataclass
class Outcome:
    """Counts by what each thing comes from; exactly once means that every count is 1."""

    readings: Counter[tuple[int, int]] = field(default_factory=Counter)
    """By partition and offset of the telemetry."""
    reading_offsets: dict[int, list[int]] = field(default_factory=dict)
    """By partition, the offsets of the readings themselves, ascending."""
    refused: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Dead letters by partition and offset of what was refused."""
    reasons: Counter[str] = field(default_factory=Counter)
    windows: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """By device, metric and start."""

    @property
    def reading_ends(self) -> dict[int, int]:
        """By partition, the offset after the last reading."""
        return {partition: offsets[-1] + 1 for partition, offsets in self.reading_offsets.items()}

    def readings_from(self, positions: Mapping[int, int]) -> int:
        """How many readings lie at these offsets or beyond."""
        return sum(
            offset >= positions.get(partition, 0)
            for partition, offsets in self.reading_offsets.items()
            for offset in offsets
        )

    def take_reading(self, message: Message) -> None:
        _topic_id, partition, offset = json.loads(message.value() or b"")["origin"]
        self.readings[partition, offset] += 1
        self.reading_offsets.setdefault(message.partition(), []).append(message.offset())

    def take_dead_letter(self, message: Message) -> None:
        headers = {name: value.decode() for name, value in message.headers() or []}
        self.refused[int(headers["statelog-origin-partition"]), int(headers["statelog-origin-offset"])] += 1
        self.reasons[headers["statelog-reason"]] += 1

    def take_window(self, message: Message) -> None:
        window = json.loads(message.value() or b"")
        self.windows[window["device_id"], window["metric"], window["window_start"]] += 1


def committed(ground: Ground, topic: str) -> Iterator[Message]:
    """All committed records of a topic to which nobody is writing, partition by partition."""
    partitions = ground.partitions(topic)
    ends = ground.admin.last_stable(partitions)
    reader = connect(ground.settings).reader()
    try:
        for partition in partitions:
            for batch in read(reader, partition, ends[partition]):
                yield from batch
    finally:
        reader.close()


def sent(messages: Iterable[Message]) -> Iterator[Sent]:
    """Telemetry for a recount."""
    return (Sent(each.partition(), each.offset(), each.key(), each.value()) for each in messages)


def outcome_of(ground: Ground) -> Outcome:
    """Read all three outputs of a pipeline that is drained."""
    outcome = Outcome()
    for topic, take in (
        ("readings", outcome.take_reading),
        ("dead-letters", outcome.take_dead_letter),
        ("windows", outcome.take_window),
    ):
        for message in committed(ground, topic):
            take(message)
    return outcome
