"""From the records of `readings`, in log order, to the states, results and rows that they must lead to."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.oracle.partitioner import partition_for


class Parameters(NamedTuple):
    window_ms: int = 60_000
    grace_ms: int = 30_000
    retention_ms: int = 86_400_000
    partitions: int | None = None
    """None: every key may be in every partition."""


DEFAULTS = Parameters()


class ReadingsRecord(NamedTuple):
    """A record of `readings`; of one partition they must come in the order of offsets."""

    partition: int
    offset: int
    key: bytes
    value: dict[str, Any] | None
    """The parsed JSON; None for a tombstone."""


@dataclass
class Recount:
    """What must be there afterwards."""

    devices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """`DeviceState`s by device."""
    results: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The `WindowResult`s sent to `windows`, by device, in order; also of devices forgotten since."""
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """The `WindowResult`s kept in device-windows, by device, by metric and start; only devices that have some."""
    open_windows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """`WindowResult`s so far, by device, by metric and start."""
    origins: dict[tuple[int, str, int], int] = field(default_factory=dict)
    """The greatest offset folded, by partition of readings, telemetry's topic id and its partition."""
    refusals: list[tuple[int, int, str]] = field(default_factory=list)
    """Partition, offset and reason of the records to be found in the dead letters."""
    repeated: list[tuple[int, int]] = field(default_factory=list)
    """Partition and offset of the records whose origin had been folded before."""


@dataclass
class _Metric:
    unit: str
    folded: list[tuple[int, float, int | None]] = field(default_factory=list)
    """Event time, value and seq, in log order."""
    clock: int = -1
    run: set[int] = field(default_factory=set)
    """The numbers folded since the sequence began."""
    greatest: int = -1
    """Of these."""
    restarts: int = 0
    too_old: int = 0
    out_of_order: int = 0
    late: int = 0
    open: dict[int, list[float]] = field(default_factory=dict)
    closed: dict[int, list[float]] = field(default_factory=dict)


@dataclass
class _Device:
    duplicates: int = 0
    metrics: dict[str, _Metric] = field(default_factory=dict)


def recount(records: Iterable[ReadingsRecord], parameters: Parameters = DEFAULTS) -> Recount:
    """Fold by the words of the contract.

    Keeps every value and computes sums and variances at the end, correctly rounded, so that the product's running
    sums are held to something better than themselves.
    """
    found = Recount()
    devices: dict[str, _Device] = {}
    for record in records:
        name = record.key.decode()
        if record.value is None:
            devices.pop(name, None)
            continue
        reason = _fold(name, record, record.value, devices, found, parameters)
        if reason is not None:
            found.refusals.append((record.partition, record.offset, reason))
    for name, device in devices.items():
        found.devices[name] = _state(name, device)
        kept, still_open = [], []
        for metric_name, metric in sorted(device.metrics.items()):
            for start, values in sorted(metric.closed.items()):
                if start + parameters.window_ms > metric.clock - parameters.retention_ms:
                    kept.append(_result(name, metric_name, metric.unit, start, values, parameters))
            for start, values in sorted(metric.open.items()):
                still_open.append(_result(name, metric_name, metric.unit, start, values, parameters))
        if kept:
            found.rows[name] = kept
        found.open_windows[name] = still_open
    return found


def _fold(
    name: str,
    record: ReadingsRecord,
    reading: dict[str, Any],
    devices: dict[str, _Device],
    found: Recount,
    parameters: Parameters,
) -> str | None:
    """The reason of the refusal; None for a reading that was folded, was a duplicate or had been folded before."""
    partitions = parameters.partitions
    if name != reading["device_id"] or (partitions and partition_for(record.key, partitions) != record.partition):
        return "wrong-key" if name != reading["device_id"] else "wrong-partition"
    topic_id, origin_partition, origin_offset = reading["origin"]
    source = (record.partition, topic_id, origin_partition)
    if origin_offset <= found.origins.get(source, -1):
        found.repeated.append((record.partition, record.offset))
        return None

    device = devices.get(name, _Device())
    metric = device.metrics.get(reading["metric"], _Metric(reading["unit"]))
    if len(device.metrics | {reading["metric"]: metric}) > 64:
        return "too-many-metrics"
    if metric.unit != reading["unit"]:
        return "unit-changed"

    # Whatever happens now is remembered.
    found.origins[source] = origin_offset
    devices[name] = device
    device.metrics[reading["metric"]] = metric

    time, seq = reading["event_time"], reading.get("seq")
    verdict = "new" if seq is None else _judge(metric, time, seq)
    if verdict != "new":
        metric.too_old += verdict == "seq-too-old"
        device.duplicates += verdict == "duplicate"
        return verdict if verdict == "seq-too-old" else None
    if time < metric.clock:
        metric.out_of_order += 1
    metric.clock = max(metric.clock, time)
    metric.folded.append((time, float(reading["value"]), seq))
    for start, values in _into_windows(metric, time, float(reading["value"]), parameters):
        final = _result(name, reading["metric"], metric.unit, start, values, parameters)
        found.results.setdefault(name, []).append(final)
    return None


def _judge(metric: _Metric, time: int, seq: int) -> str:
    if time > metric.clock:
        if seq <= metric.greatest:
            metric.restarts += 1
            metric.run, metric.greatest = set(), -1
    elif seq <= metric.greatest - 64:
        return "seq-too-old"
    elif seq in metric.run:
        return "duplicate"
    metric.run.add(seq)
    metric.greatest = max(metric.greatest, seq)
    return "new"


def _into_windows(metric: _Metric, time: int, value: float, parameters: Parameters) -> list[tuple[int, list[float]]]:
    """Adds a value to its window, if that is still open; returns those that close now."""

    def over(start: int) -> bool:
        return metric.clock >= start + parameters.window_ms + parameters.grace_ms

    start = time // parameters.window_ms * parameters.window_ms
    if over(start):
        metric.late += 1
    else:
        metric.open.setdefault(start, []).append(value)
    ended = sorted(start for start in metric.open if over(start))
    for start in ended:
        metric.closed[start] = metric.open.pop(start)
    return [(start, metric.closed[start]) for start in ended]


def _state(name: str, device: _Device) -> dict[str, Any]:
    times = [time for metric in device.metrics.values() for time, _, _ in metric.folded]
    return {
        "device_id": name,
        "first_seen": min(times),
        "last_seen": max(times),
        "readings": len(times),
        "duplicates": device.duplicates,
        "metrics": {metric_name: _statistics(metric) for metric_name, metric in device.metrics.items()},
    }


def _statistics(metric: _Metric) -> dict[str, Any]:
    values = [value for _, value, _ in metric.folded]
    mean = math.fsum(values) / len(values)
    last = metric.folded[0]
    for reading in metric.folded:
        if reading[0] >= last[0]:
            last = reading
    return {
        "unit": metric.unit,
        "count": len(values),
        "sum": math.fsum(values),
        "mean": mean,
        "variance": math.fsum((value - mean) ** 2 for value in values) / len(values),
        "min": min(values),
        "max": max(values),
        "last": {"value": last[1], "event_time": last[0], "seq": last[2]},
        "out_of_order": metric.out_of_order,
        "late": metric.late,
        "restarts": metric.restarts,
        "too_old": metric.too_old,
    }


def _result(
    device: str, metric: str, unit: str, start: int, values: list[float], parameters: Parameters
) -> dict[str, Any]:
    return {
        "device_id": device,
        "metric": metric,
        "unit": unit,
        "window_start": start,
        "window_end": start + parameters.window_ms,
        "count": len(values),
        "sum": math.fsum(values),
        "min": min(values),
        "max": max(values),
        "mean": math.fsum(values) / len(values),
    }
