"""Whether a worker that could go on stands still. Knows nothing of Faust: it is told what it sees, look by look.

Looks are counted, not seconds: a process that was starved or stopped has made none meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pipeline.log.api import TopicPartition


class Sight(NamedTuple):
    """A source partition at one look."""

    expected: int
    """The offset of the next record that has to be handed over."""
    end: int
    """The offset that the next record written will have."""


class Standstill:
    """Finds a partition whose records wait while nothing keeps the worker from them.

    A worker may be long in coming to a partition, for others are before it in its queues. So partitions are judged by
    the *lap*: it is over when all others have come to where they ended when it began, or move no more. A partition that
    had records when the lap began, and of which none was handed over, has stood for it.
    """

    def __init__(self, laps: int) -> None:
        """`laps`: so many a partition may stand for."""
        self._allowed = laps
        self._last: dict[TopicPartition, int] = {}
        self._begun: dict[TopicPartition, Sight] = {}
        self._stood: dict[TopicPartition, int] = {}

    def forget(self) -> None:
        """What was seen says nothing about what follows."""
        self._last, self._begun, self._stood = {}, {}, {}

    def look(self, sights: Mapping[TopicPartition, Sight], under_way: bool) -> TopicPartition | None:
        """The partition that has stood too long, if one has.

        `under_way`: records were handed over that are not done. If none moves then, the worker waits for Kafka.
        """
        still = {each for each, sight in sights.items() if self._last.get(each) == sight.expected}
        self._last = {each: sight.expected for each, sight in sights.items()}
        if under_way and len(still) == len(sights):
            return None
        if not all(each in still or sight.expected >= self._goal(each) for each, sight in sights.items()):
            return None
        self._stood = {
            each: self._stood.get(each, 0) + 1
            for each, sight in sights.items()
            if each in self._begun and sight.expected == self._begun[each].expected < self._begun[each].end
        }
        self._begun = dict(sights)
        return next((each for each, laps in self._stood.items() if laps >= self._allowed), None)

    def _goal(self, partition: TopicPartition) -> int:
        begun = self._begun.get(partition)
        return 0 if begun is None else begun.end


class Unchanged:
    """Counts the looks at which something was what it was at the look before."""

    def __init__(self) -> None:
        self._value: object = None
        self.looks = 0

    def look(self, value: object) -> int:
        self.looks = self.looks + 1 if value == self._value else 0
        self._value = value
        return self.looks

    def forget(self) -> None:
        self._value, self.looks = None, 0
