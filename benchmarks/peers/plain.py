"""The workloads on rows that are plain dicts, as users of Quix Streams and Faust write them.

Nothing here but the standard library: the peers' processes import it, and have none of statelog's packages.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = dict[str, Any]

WINDOW_MS = 60_000
OPEN_MS = WINDOW_MS + 30_000
KEPT_MS = WINDOW_MS + 86_400_000
MAX_AHEAD_MS = 5 * 60 * 1000
MAX_VALUE = 1e15
MAX_METRICS = 64
REMEMBERED = 64
ALL = (1 << REMEMBERED) - 1

Units = dict[str, tuple[str, float, float, float]]


def units_of(table: str) -> Units:
    """Canonical unit, shift, multiplier and divisor, by spelling."""
    rows = (line.split("\t") for line in table.splitlines())
    return {row[0]: (row[1], float(row[2]), float(row[3]), float(row[4])) for row in rows}


def read_units(path: str) -> Units:
    return units_of(Path(path).read_text(encoding="utf-8"))


def normalise(units: Units, key: str, raw: Any, timestamp_ms: int, origin: list[Any]) -> Document | None:
    """Workload a; None for what is dropped."""
    try:
        device, metric, value, unit = raw["device_id"], raw["metric"], raw["value"], raw["unit"]
        event_time = raw["event_time"]
    except (KeyError, TypeError):
        return None
    if not (isinstance(device, str) and isinstance(metric, str) and isinstance(event_time, int)):
        return None
    if not isinstance(value, int | float) or device != key or unit not in units:
        return None
    canonical, shift, multiplier, divisor = units[unit]
    value = (value + shift) * multiplier / divisor + 0.0
    if not -MAX_VALUE <= value <= MAX_VALUE or event_time - timestamp_ms > MAX_AHEAD_MS:
        return None
    return {
        "device_id": device,
        "metric": metric,
        "value": value,
        "unit": canonical,
        "event_time": event_time,
        "seq": raw.get("seq"),
        "tags": raw.get("tags"),
        "origin": origin,
    }


def add(summary: Document, value: float) -> None:
    """Youngs and Cramer's updating of the squared deviations."""
    count = summary["count"] + 1
    total = summary["sum"] + value
    if count > 1:
        deviation = count * value - total
        summary["squares"] += deviation * deviation / (count * (count - 1))
        if value < summary["min"]:
            summary["min"] = value
        elif value > summary["max"]:
            summary["max"] = value
    else:
        summary["squares"] = 0.0
        summary["min"] = summary["max"] = value
    summary["count"] = count
    summary["sum"] = total


def fold_statistics(row: Document | None, reading: Document) -> Document | None:
    """Workload b: the device's new row; None where nothing changes."""
    time, value = reading["event_time"], reading["value"]
    if row is None:
        row = {"first_seen": time, "metrics": {}}
    elif time < row["first_seen"]:
        row["first_seen"] = time
    metric = row["metrics"].get(reading["metric"])
    if metric is None:
        metric = row["metrics"][reading["metric"]] = {
            "unit": reading["unit"],
            "count": 0,
            "sum": 0.0,
            "last_time": time,
            "last_value": value,
            "out_of_order": 0,
        }
    elif metric["unit"] != reading["unit"]:
        return None
    add(metric, value)
    if time >= metric["last_time"]:
        metric["last_time"], metric["last_value"] = time, value
    else:
        metric["out_of_order"] += 1
    return row


def into_window(windows: list[list[Any]], time: int, value: float, clock: int) -> bool:
    """Add to an open window (start, count, sum, min, max), by start; False when it has closed."""
    start = time - time % WINDOW_MS
    if start + OPEN_MS <= clock:
        return False
    place = len(windows)
    while place and windows[place - 1][0] > start:
        place -= 1
    if place and windows[place - 1][0] == start:
        window = windows[place - 1]
        window[1] += 1
        window[2] += value
        if value < window[3]:
            window[3] = value
        elif value > window[4]:
            window[4] = value
    else:
        windows.insert(place, [start, 1, value, value, value])
    return True


def close_windows(windows: list[list[Any]], clock: int) -> list[list[Any]]:
    """Those that end now, by start."""
    closed = []
    while windows and windows[0][0] + OPEN_MS <= clock:
        closed.append(windows.pop(0))
    return closed


def window_result(device: str, metric: str, unit: str, window: list[Any]) -> Document:
    start, count, total, least, greatest = window
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


def fold_windows(row: Document | None, reading: Document) -> tuple[Document | None, list[Document]]:
    """Workload c: the device's new row, and final results."""
    time, name = reading["event_time"], reading["metric"]
    row = {"metrics": {}} if row is None else row
    metric = row["metrics"].get(name)
    if metric is None:
        metric = row["metrics"][name] = {"unit": reading["unit"], "clock": time, "late": 0, "open": []}
    elif metric["unit"] != reading["unit"]:
        return None, []
    if not into_window(metric["open"], time, reading["value"], metric["clock"]):
        metric["late"] += 1
    if time <= metric["clock"]:
        return row, []
    metric["clock"] = time
    closed = close_windows(metric["open"], time)
    return row, [window_result(reading["device_id"], name, metric["unit"], window) for window in closed]


def judge(metric: Document, seq: int, newer: bool) -> str:
    """The sliding bit mask of IPsec's replay check (RFC 4303, appendix A2); kept as the numbers that are missing."""
    ahead = seq - metric["greatest"]
    if ahead > 0:
        mask = metric["missing"] << ahead | (1 << ahead) - 2 if ahead < REMEMBERED else ALL - 1
        metric["greatest"], metric["missing"] = seq, mask & ALL
        return "new"
    if newer:
        metric["greatest"], metric["missing"] = seq, ALL - 1
        return "restart"
    if ahead <= -REMEMBERED:
        return "too old"
    bit = 1 << -ahead
    if not metric["missing"] & bit:
        return "duplicate"
    metric["missing"] ^= bit
    return "new"


def fold_device(  # noqa: PLR0911 one verdict after the other
    row: Document | None,
    reading: Document,
    keep: Callable[[str, Document], None],
    drop: Callable[[str], None],
) -> tuple[Document | None, list[Document]]:
    """Workload d: the device's new row, and final results. `keep` and `drop` are the table of final results."""
    topic_id, partition, offset = reading["origin"]
    source = f"{topic_id}/{partition}"
    time, name = reading["event_time"], reading["metric"]
    row = {"first_seen": time, "duplicates": 0, "origins": {}, "metrics": {}} if row is None else row
    if offset <= row["origins"].get(source, -1):
        return None, []
    metric = row["metrics"].get(name)
    if metric is None:
        if len(row["metrics"]) == MAX_METRICS:
            return None, []
        metric = row["metrics"][name] = _new_metric(reading["unit"])
    elif metric["unit"] != reading["unit"]:
        return None, []
    row["origins"][source] = offset
    clock = metric["last_time"]
    if reading["seq"] is not None:
        verdict = judge(metric, reading["seq"], time > clock)
        if verdict == "duplicate":
            row["duplicates"] += 1
            return row, []
        if verdict == "too old":
            metric["too_old"] += 1
            return row, []
        metric["restarts"] += verdict == "restart"
    row["first_seen"] = min(row["first_seen"], time)
    add(metric, reading["value"])
    if not into_window(metric["open"], time, reading["value"], clock):
        metric["late"] += 1
    if time < clock:
        metric["out_of_order"] += 1
        return row, []
    metric["last_time"], metric["last_value"], metric["last_seq"] = time, reading["value"], reading["seq"]
    results = []
    for window in close_windows(metric["open"], time):
        result = window_result(reading["device_id"], name, metric["unit"], window)
        results.append(result)
        if window[0] + KEPT_MS > time:
            keep(f"{name}/{window[0]}", result)
            metric["kept"].append(window[0])
    while metric["kept"] and metric["kept"][0] + KEPT_MS <= time:
        drop(f"{name}/{metric['kept'].pop(0)}")
    return row, results


def _new_metric(unit: str) -> Document:
    return {
        "unit": unit,
        "count": 0,
        "sum": 0.0,
        "last_time": -1,
        "last_value": 0.0,
        "last_seq": None,
        "greatest": -1,
        "missing": ALL,
        "out_of_order": 0,
        "late": 0,
        "restarts": 0,
        "too_old": 0,
        "open": [],
        "kept": [],
    }
