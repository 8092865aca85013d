"""Statistics alone, and windows alone, as statelog topologies; the shipped one does both, and more."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Any, Final

import msgspec

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.keys import DeviceKey
from operators.show import encode_result, result
from operators.statistics import add, empty, mean, variance
from operators.topology import AggregateStage, TableSpec, Topology
from schemas.reading import ReadingRecord, decode_reading, skim_reading
from schemas.reasons import Reason, SchemaError
from schemas.state import OpenWindow, StateCodec, Summary

TABLE: Final = "device-rows"
WINDOW_MS: Final = 60_000
OPEN_MS: Final = WINDOW_MS + 30_000
"""With the grace."""


class MetricStatistics(msgspec.Struct, array_like=True, gc=False):
    unit: str
    summary: Summary
    last_time: int
    last_value: float
    out_of_order: int = 0


class StatisticsRow(msgspec.Struct, array_like=True, gc=False):
    first_seen: int
    metrics: dict[str, MetricStatistics]


class MetricWindows(msgspec.Struct, array_like=True, gc=False):
    unit: str
    clock: int
    open: list[OpenWindow]
    """By start."""
    late: int = 0


class WindowsRow(msgspec.Struct, array_like=True, gc=False):
    metrics: dict[str, MetricWindows]


def read(record: Record, known: Container[str]) -> ReadingRecord | Refusal:
    """A reading whose key is its device; looked at closely where it is the first of its metric."""
    data = record.value or b""
    try:
        try:
            reading: ReadingRecord = skim_reading(data)
            if reading.metric not in known:
                reading = decode_reading(data)
        except ValueError:
            reading = decode_reading(data)
    except SchemaError as error:
        return Refusal(error.reason, error.detail)
    if record.key != reading.device_id.encode():
        return Refusal(Reason.WRONG_KEY, "the key is not the device_id")
    return reading


class DeviceStatistics:
    """Workload b."""

    def __init__(self, tables: Mapping[str, Table[Any]], _context: TaskContext) -> None:
        self._rows: Table[StatisticsRow] = tables[TABLE]

    def fold(self, record: Record) -> Refusal | None:
        key = record.key or b""
        row = self._rows.get(key)
        reading = read(record, row.metrics if row else ())
        if isinstance(reading, Refusal):
            return reading
        time, value = reading.event_time, reading.value
        if row is None:
            row = StatisticsRow(time, {})
        elif time < row.first_seen:
            row.first_seen = time
        metric = row.metrics.get(reading.metric)
        if metric is None:
            metric = row.metrics[reading.metric] = MetricStatistics(reading.unit, empty(), time, value)
        elif metric.unit != reading.unit:
            return Refusal(Reason.UNIT_CHANGED, f"the metric's unit is {metric.unit}")
        add(metric.summary, value)
        if time >= metric.last_time:
            metric.last_time, metric.last_value = time, value
        else:
            metric.out_of_order += 1
        self._rows.put(key, row)
        return None


class DeviceWindows:
    """Workload c."""

    def __init__(self, tables: Mapping[str, Table[Any]], _context: TaskContext) -> None:
        self._rows: Table[WindowsRow] = tables[TABLE]

    def fold(self, record: Record) -> Sequence[Output] | Refusal | None:
        key = record.key or b""
        row = self._rows.get(key)
        reading = read(record, row.metrics if row else ())
        if isinstance(reading, Refusal):
            return reading
        time, value = reading.event_time, reading.value
        if row is None:
            row = WindowsRow({})
        metric = row.metrics.get(reading.metric)
        if metric is None:
            metric = row.metrics[reading.metric] = MetricWindows(reading.unit, time, [])
        elif metric.unit != reading.unit:
            return Refusal(Reason.UNIT_CHANGED, f"the metric's unit is {metric.unit}")
        self._rows.put(key, row)
        windows = metric.open
        start = time - time % WINDOW_MS
        if start + OPEN_MS <= metric.clock:
            metric.late += 1
            return None
        for index in range(len(windows) - 1, -1, -1):
            if windows[index].start <= start:
                break
        else:
            index = -1
        if index < 0 or windows[index].start != start:
            index += 1
            windows.insert(index, OpenWindow(0, 0.0, 0.0, 0.0, 0.0, start))
        add(windows[index], value)
        if time > metric.clock:
            metric.clock = time
            if windows[0].start + OPEN_MS <= time:
                return self._close(metric, key, reading, record.timestamp_ms)
        return None

    def _close(self, metric: MetricWindows, key: bytes, reading: ReadingRecord, timestamp_ms: int) -> list[Output]:
        outputs = []
        while metric.open and metric.open[0].start + OPEN_MS <= metric.clock:
            window = metric.open.pop(0)
            final = result(reading.device_id, reading.metric, metric.unit, window.start, window, WINDOW_MS)
            outputs.append(Output("windows", key, encode_result(final), timestamp_ms))
        return outputs


def show_statistics(_key: bytes, row: StatisticsRow) -> dict[str, Any]:
    metrics = row.metrics
    return {
        "first_seen": row.first_seen,
        "last_seen": max(metric.last_time for metric in metrics.values()),
        "readings": sum(metric.summary.count for metric in metrics.values()),
        "metrics": {
            name: {
                "unit": metric.unit,
                "count": metric.summary.count,
                "sum": metric.summary.sum,
                "mean": mean(metric.summary),
                "variance": variance(metric.summary),
                "min": metric.summary.min,
                "max": metric.summary.max,
                "out_of_order": metric.out_of_order,
                "last": {"value": metric.last_value, "event_time": metric.last_time},
            }
            for name, metric in metrics.items()
        },
    }


def show_windows(key: bytes, row: WindowsRow) -> dict[str, Any]:
    return {
        "late": {name: metric.late for name, metric in row.metrics.items()},
        "open": [
            msgspec.to_builtins(result(key.decode(), name, metric.unit, window.start, window, WINDOW_MS))
            for name, metric in sorted(row.metrics.items())
            for window in metric.open
        ],
    }


def _topology(name: str, operator: Any, row: type[Any], show: Any, outputs: tuple[str, ...]) -> Topology:
    table = TableSpec(name=TABLE, key=DeviceKey(), value=StateCodec(row), show=show)
    stage = AggregateStage(name="aggregate", source="readings", outputs=outputs, tables=(table,), operator=operator)
    return Topology(name=name, version="1", stages=(stage,))


STATISTICS: Final = _topology("statistics", DeviceStatistics, StatisticsRow, show_statistics, ())
WINDOWS: Final = _topology("windows", DeviceWindows, WindowsRow, show_windows, ("windows",))
