"""What plain rows say, in the words of the contract."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.peers.plain import window_result
from benchmarks.peers.statelog import by_device
from benchmarks.workloads import STATISTICS, WINDOWS, Found, Workload, statistics_only

Document = dict[str, Any]


def found_in(
    work: Workload,
    rows: Mapping[str, Document],
    results: Iterable[Document],
    kept: Iterable[Document],
    partitions: Mapping[str, int],
) -> Found:
    """Of a stateful workload: `rows` by device, `kept` final results, `partitions` in which each device's row was."""
    if work is STATISTICS:
        return {"devices": {name: statistics_only(_state(name, row)) for name, row in rows.items()}}
    still_open = {name: _open(name, row) for name, row in rows.items()}
    if work is WINDOWS:
        late = {name: {metric: each["late"] for metric, each in row["metrics"].items()} for name, row in rows.items()}
        return {"results": by_device(results), "open windows": still_open, "late": late}
    origins: dict[tuple[int, str, int], int] = {}
    for name, row in rows.items():
        for source, offset in row["origins"].items():
            topic_id, _, partition = source.rpartition("/")
            origin = partitions[name], topic_id, int(partition)
            origins[origin] = max(offset, origins.get(origin, -1))
    return {
        "devices": {name: _state(name, row) for name, row in rows.items()},
        "results": by_device(results),
        "rows": by_device(sorted(kept, key=lambda row: (row["metric"], row["window_start"]))),
        "open windows": still_open,
        "origins": origins,
    }


def readings_in(row: bytes | None) -> int:
    """How many readings a row of workload b includes."""
    return sum(metric["count"] for metric in json.loads(row or b"")["metrics"].values())


def _state(name: str, row: Document) -> Document:
    metrics = row["metrics"]
    return {
        "device_id": name,
        "first_seen": row["first_seen"],
        "last_seen": max(metric["last_time"] for metric in metrics.values()),
        "readings": sum(metric["count"] for metric in metrics.values()),
        "duplicates": row.get("duplicates"),
        "metrics": {metric_name: _metric(metric) for metric_name, metric in metrics.items()},
    }


def _metric(metric: Document) -> Document:
    return {
        "unit": metric["unit"],
        "count": metric["count"],
        "sum": metric["sum"],
        "mean": metric["sum"] / metric["count"],
        "variance": metric["squares"] / metric["count"],
        "min": metric["min"],
        "max": metric["max"],
        "last": {
            "value": metric["last_value"],
            "event_time": metric["last_time"],
            "seq": metric.get("last_seq"),
        },
        "out_of_order": metric["out_of_order"],
        **{each: metric[each] for each in ("late", "restarts", "too_old") if each in metric},
    }


def _open(name: str, row: Document) -> list[Document]:
    return [
        window_result(name, metric, each["unit"], window)
        for metric, each in sorted(row["metrics"].items())
        for window in each["open"]
    ]
