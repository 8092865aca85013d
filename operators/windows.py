"""Tumbling windows on each device-metric's own event-time clock, with final results once and a bounded past."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import Final

from operators.api import Output, Table
from operators.keys import time_suffix, window_prefix
from operators.show import encode_result, result
from operators.statistics import merge
from schemas.state import MetricState, OpenWindow, WindowRow

WINDOWS: Final = "windows"
"""The topic of final results."""

_start = attrgetter("start")


class Windows:
    """The windows of all metrics of one partition: `[start, start + window_ms)`, aligned to the epoch.

    A window closes when the metric's clock, the greatest event time folded, has reached its end + `grace_ms`. What
    comes for a closed window is late. A closed window is a row of device-windows until the clock has reached its
    end + `retention_ms`.

    **Chain of rows.** Tables have no range reads, and a metric's rows can be years apart, so the rows to delete are
    found by following them. Windows close by rising start: all below a bound are closed, all at or above it are not,
    and the bound never falls. So a metric's rows are a queue. Its head is `oldest_row`. The window that closes next
    after a row, whenever that is, starts at or after the bound of the row's own closing, and at or before the least
    window then open, since that one will close. A row keeps these two as `next_from` and `next_until`; a few look-ups
    (at most `grace_ms / window_ms` + 2) find its successor, or that it is the last. Windows that close together know
    theirs exactly.
    """

    def __init__(self, rows: Table[WindowRow], *, window_ms: int, grace_ms: int, retention_ms: int) -> None:
        self._rows = rows
        self._window_ms = window_ms
        self._open_ms = window_ms + grace_ms
        self._kept_ms = window_ms + retention_ms

    def start_of(self, event_time: int) -> int:
        """The start of the window that holds this time."""
        return event_time - event_time % self._window_ms

    def closes(self, start: int) -> int:
        """The clock at which the window that starts here closes."""
        return start + self._open_ms

    def find_older(self, metric: MetricState, event_time: int, clock: int) -> OpenWindow | None:
        """The open window, before the latest one, that a reading is to be added to; made where there is none yet.

        None once it is closed: then the reading is late.
        """
        start = self.start_of(event_time)
        if start + self._open_ms <= clock:
            return None
        older = metric.older
        index = bisect_left(older, start, key=_start)
        if index == len(older) or older[index].start != start:
            older.insert(index, OpenWindow(0, 0.0, 0.0, 0.0, 0.0, start))
        return older[index]

    def settle(
        self, metric: MetricState, latest_start: int, clock: int, key: bytes, name: str, timestamp_ms: int
    ) -> tuple[list[Output], int]:
        """Close the windows that ended and delete the rows that expired; needed once the metric's clock is due.

        Returns the final results, with that Kafka timestamp, and when the metric is due next.
        """
        device_id = key.decode()
        prefix = window_prefix(device_id, name)
        oldest = metric.oldest_row
        while oldest >= 0 and oldest + self._kept_ms <= clock:
            oldest = self._drop(prefix, oldest)
        older = metric.older
        unit = metric.unit
        outputs = []
        while older and older[0].start + self._open_ms <= clock:
            window = older.pop(0)
            merge(metric.settled, window)
            start = window.start
            final = encode_result(result(device_id, name, unit, start, window, self._window_ms))
            outputs.append(Output(WINDOWS, key, final, timestamp_ms))
            if start + self._kept_ms > clock:
                until = older[0].start if older else latest_start
                after = until if until + self._open_ms <= clock else self._first_not_closed(clock)
                row = WindowRow(unit, window.count, window.sum, window.min, window.max, after, until)
                self._rows.put(prefix + time_suffix(start), row)
                if oldest < 0:
                    oldest = start
        metric.oldest_row = oldest
        due = (older[0].start if older else latest_start) + self._open_ms
        return outputs, due if oldest < 0 else min(due, oldest + self._kept_ms)

    def _first_not_closed(self, clock: int) -> int:
        """The least start that a window may have which this clock has not closed."""
        return self.start_of(clock - self._open_ms) + self._window_ms

    def forget(self, metric: MetricState, device_id: str, name: str) -> None:
        """Delete every row of a metric."""
        prefix = window_prefix(device_id, name)
        oldest = metric.oldest_row
        while oldest >= 0:
            oldest = self._drop(prefix, oldest)

    def _drop(self, prefix: bytes, start: int) -> int:
        """Delete a row; returns the start of its successor, -1 when it is the last."""
        rows = self._rows
        key = prefix + time_suffix(start)
        row = rows.get(key)
        if row is None:
            raise LookupError(f"the chain of windows is broken at {key!r}, rebuild the table")
        rows.delete(key)
        for candidate in range(row.next_from, row.next_until + 1, self._window_ms):
            if rows.get(prefix + time_suffix(candidate)) is not None:
                return candidate
        return -1
