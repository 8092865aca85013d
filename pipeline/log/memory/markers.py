"""Commit and abort markers on their way to the partitions that a transaction touched."""

from __future__ import annotations

from collections.abc import Callable

GROUP_OFFSETS = "__consumer_offsets"
"""Kafka's own topic of committed offsets: a transaction's marker reaches it as it reaches any other."""


class Markers:
    """Delivered at once, unless a test holds those for some topics back."""

    def __init__(self) -> None:
        self._hold_all = False
        self._named: set[str] = set()
        """Topics whose markers wait; while all are held, those whose markers do not."""
        self._waiting: list[tuple[str, Callable[[], None]]] = []

    def deliver(self, topic: str, mark: Callable[[], None]) -> None:
        if (topic in self._named) != self._hold_all:
            self._waiting.append((topic, mark))
        else:
            mark()

    def hold(self, *topics: str) -> None:
        if not topics:
            self._hold_all, self._named = True, set()
        elif self._hold_all:
            self._named -= set(topics)
        else:
            self._named |= set(topics)

    def release(self, *topics: str) -> int:
        """Deliver what waits for these, or everything, and hold no longer; returns how many there were."""
        if not topics:
            self._hold_all, self._named = False, set()
        elif self._hold_all:
            self._named |= set(topics)
        else:
            self._named -= set(topics)
        due = [mark for topic, mark in self._waiting if not topics or topic in topics]
        self._waiting = [each for each in self._waiting if topics and each[0] not in topics]
        for mark in due:
            mark()
        return len(due)
