"""A lock that goes round."""

from __future__ import annotations

import threading


class TurnLock:
    """A lock that whoever waits gets before a thread that has just let it go.

    A plain lock, taken again at once in a loop, is not: the restorer's kept the worker's loop waiting for seconds.
    """

    def __init__(self) -> None:
        self._door = threading.Lock()
        """Held by the next in turn, for as long as it waits."""
        self._inner = threading.Lock()

    def __enter__(self) -> None:
        with self._door:
            self._inner.acquire()

    def __exit__(self, *_: object) -> None:
        self._inner.release()
