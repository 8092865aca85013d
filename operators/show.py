"""Rows of the IoT tables as people see them: the JSON of `DeviceState` and `WindowResult`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from operators.keys import split_origin_key, split_window_key
from operators.statistics import empty, mean, merge, variance
from schemas.state import DeviceRow, MetricState, OpenWindow, Summary, WindowRow


class Result(msgspec.Struct, gc=False):
    """A `WindowResult`, in the order of its JSON."""

    device_id: str
    metric: str
    unit: str
    window_start: int
    window_end: int
    count: int
    sum: float
    min: float
    max: float
    mean: float


encode_result: Final = msgspec.json.Encoder().encode


def result(
    device_id: str, metric: str, unit: str, start: int, window: OpenWindow | WindowRow, window_ms: int
) -> Result:
    """The result of a window, so far where it is open."""
    count, total = window.count, window.sum
    return Result(
        device_id, metric, unit, start, start + window_ms, count, total, window.min, window.max, total / count
    )


def device_state(key: bytes, row: DeviceRow) -> dict[str, Any]:
    """A row of device-state as `DeviceState`."""
    summaries = {name: _summary(metric) for name, metric in row.metrics.items()}
    return {
        "device_id": key.decode(),
        "first_seen": row.first_seen,
        "last_seen": max(metric.unpacked().last_time for metric in row.metrics.values()),
        "readings": sum(summary.count for summary in summaries.values()),
        "duplicates": row.duplicates,
        "metrics": {name: _metric(metric, summaries[name]) for name, metric in row.metrics.items()},
    }


def _summary(metric: MetricState) -> Summary:
    """All readings of a metric."""
    summary = empty()
    for part in (metric.settled, *metric.open_windows()):
        merge(summary, part)
    return summary


def _metric(metric: MetricState, summary: Summary) -> dict[str, Any]:
    latest = metric.unpacked()
    last_seq = latest.last_seq if latest.last_seq >= 0 else None
    return {
        "unit": metric.unit,
        "count": summary.count,
        "sum": summary.sum,
        "mean": mean(summary),
        "variance": variance(summary),
        "min": summary.min,
        "max": summary.max,
        "last": {"value": latest.last_value, "event_time": latest.last_time, "seq": last_seq},
        "out_of_order": metric.out_of_order,
        "late": metric.late,
        "restarts": metric.restarts,
        "too_old": metric.too_old,
    }


def open_windows(key: bytes, row: DeviceRow, window_ms: int) -> list[dict[str, Any]]:
    """The open windows of a row of device-state, each as a `WindowResult` so far."""
    device_id = key.decode()
    return [
        msgspec.to_builtins(result(device_id, name, metric.unit, window.start, window, window_ms))
        for name, metric in row.metrics.items()
        for window in metric.open_windows()
    ]


def window_result(key: bytes, row: WindowRow, window_ms: int) -> dict[str, Any]:
    """A row of device-windows as `WindowResult`."""
    device_id, metric, start = split_window_key(key)
    shown: dict[str, Any] = msgspec.to_builtins(result(device_id, metric, row.unit, start, row, window_ms))
    return shown


def origin(key: bytes, offset: int) -> dict[str, Any]:
    """A row of origins."""
    topic_id, partition = split_origin_key(key)
    return {"topic_id": topic_id, "partition": partition, "offset": offset}
