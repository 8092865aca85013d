"""Who wants to hear of which rows: told after each commit that touches them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

RowId = tuple[str, bytes]
"""Table and key."""


class Changes:
    """Listeners by row. `settled` runs on the worker's loop, and costs a look at a dictionary while nobody listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: Mapping[RowId, tuple[Callable[[], None], ...]] = {}
        """Replaced, never changed, so that the loop looks without waiting for anybody."""

    @contextmanager
    def listening(self, row: RowId, touched: Callable[[], None]) -> Iterator[None]:
        """While inside, `touched` is called after each commit that touches the row, in the store already.

        It is called on the worker's loop, so it neither waits nor raises.
        """
        self._replace(row, lambda before: (*before, touched))
        try:
            yield
        finally:
            self._replace(row, lambda before: tuple(each for each in before if each is not touched))

    def _replace(
        self, row: RowId, change: Callable[[tuple[Callable[[], None], ...]], tuple[Callable[[], None], ...]]
    ) -> None:
        with self._lock:
            after = change(self._listeners.get(row, ()))
            others = {each: listeners for each, listeners in self._listeners.items() if each != row}
            self._listeners = {**others, row: after} if after else others

    def settled(self, rows: Mapping[str, Mapping[bytes, object]]) -> None:
        """These rows, by table, are as a commit has made them."""
        listeners = self._listeners
        if not listeners:
            return
        for (table, key), touched in listeners.items():
            if key in rows.get(table, ()):
                for call in touched:
                    call()
