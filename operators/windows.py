"""Tumbling windows on each device-metric's own event-time clock, with final results once and a bounded past."""

from __future__ import annotations

from bisect import bisect_left
from operator import attrgetter
from typing import Final

from operators.api import Output, Table
from operators.keys import time_suffix, window_prefix
from operators.show import encode_result, result
from operators.statistics import merge
from schemas.state import MetricState, OpenWindow, Summary, WindowRow

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

    def open(self, event_time: int) -> tuple[OpenWindow, int]:
        """An empty window for a reading, and the clock at which it closes."""
        start = self.start_of(event_time)
        return OpenWindow(0, 0.0, 0.0, 0.0, 0.0, start), start + self._open_ms

    def find(self, metric: MetricState, event_time: int) -> Summary:
        """Where a reading is to be added: to its open window, made where there is none yet, or to what is settled."""
        window, closes = self.open(event_time)
        windows = metric.windows
        if window.start > windows[-1].start:
            windows.append(window)
            return window
        if closes <= metric.last_time:
            metric.late += 1
            return metric.settled
        index = bisect_left(windows, window.start, key=_start)
        if windows[index].start != window.start:
            windows.insert(index, window)
            metric.due = min(metric.due, closes)
        return windows[index]

    def settle(self, metric: MetricState, device_id: str, name: str, timestamp_ms: int) -> list[Output]:
        """Close the windows that ended and delete the rows that expired; needed once the metric's clock is `due`.

        Returns the final results, with that Kafka timestamp.
        """
        clock = metric.last_time
        prefix = window_prefix(device_id, name)
        oldest = metric.oldest_row
        while oldest >= 0 and oldest + self._kept_ms <= clock:
            oldest = self._drop(prefix, oldest)
        windows = metric.windows
        unit = metric.unit
        outputs = []
        while windows[0].start + self._open_ms <= clock:
            window = windows.pop(0)
            merge(metric.settled, window)
            start = window.start
            final = encode_result(result(device_id, name, unit, start, window, self._window_ms))
            outputs.append(Output(WINDOWS, device_id.encode(), final, timestamp_ms))
            if start + self._kept_ms > clock:
                until = windows[0].start
                after = until if until + self._open_ms <= clock else self._first_not_closed(clock)
                row = WindowRow(unit, window.count, window.sum, window.min, window.max, after, until)
                self._rows.put(prefix + time_suffix(start), row)
                if oldest < 0:
                    oldest = start
        metric.oldest_row = oldest
        metric.due = windows[0].start + self._open_ms
        if oldest >= 0:
            metric.due = min(metric.due, oldest + self._kept_ms)
        return outputs

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
