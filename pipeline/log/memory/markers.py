"""Commit and abort markers on their way to the partitions that a transaction touched."""

from __future__ import annotations

from collections.abc import Callable

GROUP_OFFSETS = "__consumer_offsets"
"""Kafka's own topic of committed offsets: a transaction's marker reaches it as it reaches any other."""


class Markers:
    """Delivered at once, unless a test holds those for some topics back."""

    def __init__(self) -> None:
        self._held: set[str] | None = set()
        """Topics whose markers wait; None for all."""
        self._waiting: list[tuple[str, Callable[[], None]]] = []

    def deliver(self, topic: str, mark: Callable[[], None]) -> None:
        if self._held is None or topic in self._held:
            self._waiting.append((topic, mark))
        else:
            mark()

    def hold(self, *topics: str) -> None:
        if not topics:
            self._held = None
        elif self._held is not None:
            self._held |= set(topics)

    def release(self, *topics: str) -> int:
        """Deliver what waits for these, or everything, and hold no longer; returns how many there were."""
        if not topics:
            self._held = set()
        elif self._held is not None:
            self._held -= set(topics)
        due = [mark for topic, mark in self._waiting if not topics or topic in topics]
        self._waiting = [each for each in self._waiting if topics and each[0] not in topics]
        for mark in due:
            mark()
        return len(due)
