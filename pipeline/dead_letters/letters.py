"""Which dead letters there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from operators.topology import DEAD_LETTERS, REDRIVEN
from pipeline.errors import Misconfigured
from pipeline.log.api import Admin, Log, Message, TopicPartition
from pipeline.log.reading import first_after, read_told
from schemas.dead_letter import DeadLetter


class Place(NamedTuple):
    """Where a dead letter is: its name, as people type it."""

    partition: int
    offset: int

    @classmethod
    def parse(cls, text: str) -> Place:
        """From `PARTITION:OFFSET`; Misconfigured for another text."""
        partition, colon, offset = text.partition(":")
        if not (colon and all(part.isascii() and part.isdigit() for part in (partition, offset))):
            raise Misconfigured(
                f"{text!r} names no dead letter", hint="PARTITION:OFFSET, as `dead-letters ls` shows it"
            )
        return cls(int(partition), int(offset))

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"


class Letter(NamedTuple):
    """A dead letter in its place."""

    place: Place
    content: DeadLetter


@dataclass(frozen=True)
class Selection:
    """Which dead letters are meant: those that meet all that is given."""

    places: frozenset[Place] = frozenset()
    """These alone; none for any."""
    reasons: frozenset[str] = frozenset()
    stage: str | None = None
    key_prefix: str = ""
    since_ms: int = 0
    """Refused then or later."""

    @property
    def everything(self) -> bool:
        return self == Selection()

    def __contains__(self, letter: Letter) -> bool:
        content = letter.content
        return (
            (not self.places or letter.place in self.places)
            and (not self.reasons or content.reason in self.reasons)
            and self.stage in (None, content.stage)
            and (content.key or b"").startswith(self.key_prefix.encode())
            and content.time >= self.since_ms
        )


@dataclass
class DeadLetters:
    """The dead letters of a pipeline, and the marks of those that were sent once more."""

    log: Log
    admin: Admin
    prefix: str
    strangers: int = field(default=0, init=False)
    """Records met in the topic that no worker wrote."""

    def __post_init__(self) -> None:
        """Raises Misconfigured when the topics are missing."""
        self.topic = self.prefix + DEAD_LETTERS
        self._marks = self.prefix + REDRIVEN
        found = self.admin.topics([self.topic, self._marks])
        if missing := {self.topic, self._marks} - found.keys():
            raise Misconfigured(
                f"topic {', '.join(sorted(missing))} is missing", hint="statelog topics create makes it"
            )
        self._topic_id = found[self.topic].topic_id
        self._counts = {name: info.partitions for name, info in found.items()}

    def count(self) -> int:
        """How many offsets the topic holds: at least as many as dead letters."""
        starts, ends = self.bounds()
        return sum(ends[each] - starts[each] for each in ends)

    def bounds(self) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Where each partition begins, and where it ends."""
        return self._bounds(self.topic)

    def find(
        self,
        selection: Selection,
        progress: Callable[[int], None] = lambda _: None,
        *,
        newest: int | None = None,
    ) -> Iterator[Letter]:
        """Those that are selected, partition by partition; `progress` hears of each further lot of offsets read.

        With `newest` only so many of each partition's last offsets are read.
        """
        partitions = {place.partition for place in selection.places} or range(self._counts[self.topic])
        for message in self._committed(self.topic, sorted(partitions), progress, newest):
            letter = self._letter(message)
            if letter is not None and letter in selection:
                yield letter

    def at(self, place: Place) -> Letter | None:
        """The one in this place, read alone; None when there is none, or none any more."""
        starts, ends = self.bounds()
        partition = TopicPartition(self.topic, place.partition)
        self._require(partition, ends)
        if not starts[partition] <= place.offset < ends[partition]:
            return None
        reader = self.log.reader()
        try:
            message = first_after(reader, partition, place.offset, place.offset + 1)
        finally:
            reader.close()
        return None if message is None else self._letter(message)

    def _letter(self, message: Message) -> Letter | None:
        """None for a stranger's record."""
        try:
            content = DeadLetter.from_kafka(message.key(), message.value(), message.headers() or [])
        except ValueError:
            self.strangers += 1
            return None
        return Letter(Place(message.partition(), message.offset()), content)

    def redriven(self) -> set[Place]:
        """Those that were sent once more."""
        marks = (message.key() or b"" for message in self._committed(self._marks, range(self._counts[self._marks])))
        parts = (mark.decode().rpartition("/") for mark in marks)  # a topic's id may have slashes
        return {Place.parse(place) for topic_id, _, place in parts if topic_id == self._topic_id}

    def mark(self, place: Place) -> tuple[str, bytes]:
        """The topic and the key of the mark that a letter was sent once more. The topic made anew has new letters."""
        return self._marks, f"{self._topic_id}/{place}".encode()

    def _bounds(self, topic: str) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        partitions = [TopicPartition(topic, each) for each in range(self._counts[topic])]
        return self.admin.earliest(partitions), self.admin.high_watermarks(partitions)

    def _committed(
        self,
        topic: str,
        numbers: range | list[int],
        progress: Callable[[int], None] = lambda _: None,
        newest: int | None = None,
    ) -> Iterator[Message]:
        """To the high watermark: a transaction that is open there is waited for. Retryable when it stays open."""
        starts, ends = self._bounds(topic)
        reader = self.log.reader()
        try:
            for partition in (TopicPartition(topic, each) for each in numbers):
                self._require(partition, ends)
                end, start = ends[partition], starts[partition]
                start = start if newest is None else max(start, end - newest)
                yield from read_told(reader, partition, end, start, progress)
        finally:
            reader.close()

    @staticmethod
    def _require(partition: TopicPartition, known: Mapping[TopicPartition, int]) -> None:
        if partition not in known:
            raise Misconfigured(f"{partition.topic} has no partition {partition.partition}")
