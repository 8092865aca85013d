"""The rows of the Kafka Streams peer, read from its changelogs, in the words of the contract."""

from __future__ import annotations

import struct
from typing import Any

from benchmarks.workloads import WINDOW_MS

Document = dict[str, Any]


class _Bytes:
    """Reads what `Bytes.java` writes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, layout: str) -> tuple[Any, ...]:
        values = struct.unpack_from(f">{layout}", self._data, self._at)
        self._at += struct.calcsize(f">{layout}")
        return values

    def number(self) -> int:
        (value,) = self.take("q")
        return int(value)

    def count(self) -> int:
        (value,) = self.take("h")
        return int(value)

    def text(self) -> str:
        (length,) = self.take("b")
        (value,) = self.take(f"{length}s")
        return str(value, "utf-8")


def window(device: str, metric: str, unit: str, numbers: tuple[Any, ...]) -> Document:
    """A `WindowResult`, also of a window that is still open."""
    start, count, total, least, greatest = numbers
    return {
        "device_id": device,
        "metric": metric,
        "unit": unit,
        "window_start": start,
        "window_end": start + WINDOW_MS,
        "count": count,
        "sum": total,
        "min": least,
        "max": greatest,
        "mean": total / count,
    }


def _summary(unit: str, numbers: tuple[Any, ...]) -> Document:
    count, total, squares, least, greatest = numbers
    return {
        "unit": unit,
        "count": count,
        "sum": total,
        "mean": total / count,
        "variance": squares / count,
        "min": least,
        "max": greatest,
    }


def statistics(data: bytes) -> Document:
    """A row of `Statistics.java`."""
    row = _Bytes(data)
    first_seen = row.number()
    metrics: Document = {}
    for _ in range(row.count()):
        name, unit = row.text(), row.text()
        metric = _summary(unit, row.take("qdddd"))
        last_time, last_value, out_of_order = row.take("qdq")
        metric["out_of_order"] = out_of_order
        metric["last"] = {"value": last_value, "event_time": last_time}
        metrics[name] = metric
    return {
        "first_seen": first_seen,
        "last_seen": max(metric["last"]["event_time"] for metric in metrics.values()),
        "readings": sum(metric["count"] for metric in metrics.values()),
        "metrics": metrics,
    }


def _open(row: _Bytes, device: str, metric: str, unit: str) -> list[Document]:
    return [window(device, metric, unit, row.take("qqddd")) for _ in range(row.count())]


def windows(device: str, data: bytes) -> tuple[dict[str, int], list[Document]]:
    """Of a row of `Windows.java`, how many readings of each metric were late, and the open windows."""
    row = _Bytes(data)
    late: dict[str, int] = {}
    still_open: dict[str, list[Document]] = {}
    for _ in range(row.count()):
        name, unit = row.text(), row.text()
        _clock, late[name] = row.take("qq")
        still_open[name] = _open(row, device, name, unit)
    return late, [each for name in sorted(still_open) for each in still_open[name]]


def device(device_id: str, data: bytes) -> tuple[Document, list[Document]]:
    """A row of `Devices.java`: the `DeviceState`, and the open windows."""
    row = _Bytes(data)
    first_seen, duplicates = row.take("qq")
    metrics: Document = {}
    still_open: dict[str, list[Document]] = {}
    for _ in range(row.count()):
        name, unit = row.text(), row.text()
        metric = _summary(unit, row.take("qdddd"))
        last_time, last_value, last_seq = row.take("qdq")
        out_of_order, late, restarts, too_old, _oldest = row.take("qqqqq")
        row.take("qQ")
        metric["last"] = {
            "value": last_value,
            "event_time": last_time,
            "seq": last_seq if last_seq >= 0 else None,
        }
        metric |= {"out_of_order": out_of_order, "late": late, "restarts": restarts, "too_old": too_old}
        metrics[name] = metric
        still_open[name] = _open(row, device_id, name, unit)
    state = {
        "device_id": device_id,
        "first_seen": first_seen,
        "last_seen": max(metric["last"]["event_time"] for metric in metrics.values()),
        "readings": sum(metric["count"] for metric in metrics.values()),
        "duplicates": duplicates,
        "metrics": metrics,
    }
    return state, [each for name in sorted(still_open) for each in still_open[name]]


def result(key: bytes, data: bytes) -> Document:
    """A row of final results."""
    device_id, metric, start = key.split(b"\0", 2)
    row = _Bytes(data)
    unit = row.text()
    numbers = row.take("qqddd")
    assert numbers[0] == int.from_bytes(start, "big")
    return window(device_id.decode(), metric.decode(), unit, numbers)
