"""Acknowledgements, late and in order: a record is done when all that was made of it is in Kafka, and all before it is.

Faust's consumer takes a gap of one record at the head of what was acknowledged for none, so order is not a nicety.
"""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from pipeline.faust_host.exits import AGENT_FAILED, fatal, stop
from pipeline.log.api import TopicPartition


class Entry:
    """One record that was begun."""

    def __init__(self, line: Line, offset: int, acknowledge: Callable[[], object]) -> None:
        self.offset = offset
        self.done = False
        self.acknowledge = acknowledge
        self._line = line

    def complete(self) -> None:
        """All that was made of the record is in Kafka."""
        self.done = True
        self._line.advance()


class Line:
    """One partition's records from the first that is not done on."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self.settled = -1
        """This and every lower offset is done; -1 while nothing is known."""
        self.closed = False

    def enter(self, offset: int, acknowledge: Callable[[], object]) -> Entry:
        entry = Entry(self, offset, acknowledge)
        self._entries.append(entry)
        return entry

    @property
    def under_way(self) -> bool:
        return bool(self._entries)

    def advance(self) -> None:
        while self._entries and self._entries[0].done:
            entry = self._entries.popleft()
            self.settled = entry.offset
            if not self.closed:
                entry.acknowledge()


class Lines:
    """A stage's lines, by partition, of the present assignment."""

    def __init__(self) -> None:
        self._lines: dict[TopicPartition, Line] = {}

    def of(self, partition: TopicPartition) -> Line:
        if partition not in self._lines:
            self._lines[partition] = Line()
        return self._lines[partition]

    @property
    def under_way(self) -> bool:
        """Whether a record was begun and is not done."""
        return any(line.under_way for line in self._lines.values())

    def close(self) -> None:
        """The assignment ends: what is still under way acknowledges nothing, for its records may come again."""
        for line in self._lines.values():
            line.closed = True
        self._lines.clear()


def when_sent(sent: Iterable[Future[Any]], then: Callable[[], None]) -> None:
    """Call `then` once all of these are in Kafka; at once when there are none. A failed one ends the process.

    `then` runs in the present context, in which Faust's tables know their partition.
    """
    waiting = set(sent)
    if not waiting:
        then()
        return

    @fatal
    def one_more(future: Future[Any]) -> None:
        if future.cancelled() or future.exception() is not None:
            stop(AGENT_FAILED, "a record was not delivered", None if future.cancelled() else future.exception())
        waiting.discard(future)
        if not waiting:
            then()

    for future in tuple(waiting):
        future.add_done_callback(one_more)
