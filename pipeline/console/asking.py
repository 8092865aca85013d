"""Clients for look-ups: each is for one thread, and a page asks several things at once."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.client import Client

MOST = 4


class Clients:
    """A few clients, each made when it is first needed."""

    def __init__(self, make: Callable[[], Client]) -> None:
        self._make = make
        self._places: queue.LifoQueue[Client | None] = queue.LifoQueue()
        for _ in range(MOST):
            self._places.put(None)

    @contextmanager
    def borrowed(self) -> Iterator[Client]:
        """One that nobody else uses meanwhile; waits while all are lent."""
        client = self._places.get()
        try:
            if client is None:
                client = self._make()
            yield client
        finally:
            self._places.put(client)

    def close(self) -> None:
        for _ in range(MOST):
            client = self._places.get()
            if client is not None:
                client.close()
