"""Readings of real sensors, through both workers, against a recount in SQL.

The series are of the Numenta Anomaly Benchmark: road traffic, an office's temperature, and a machine's, whose readings
repeat and go back in time at a change of clock.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import duckdb
import pytest

from tests.oracle import differences
from tests.support.brokers import Kafka
from tests.support.cluster import Cluster

DATA: Final = Path(__file__).parents[3] / "shared" / "data" / "nab"
WINDOW_MS: Final = 1_800_000
GRACE_MS: Final = 60_000
TEN_YEARS_MS: Final = 10 * 365 * 86_400_000

pytestmark = pytest.mark.timeout(600)


class Kind(NamedTuple):
    """What a series measures."""

    metric: str
    unit: str
    canonical: str
    conversion: str
    """SQL from a value `x` as it is in the file to the canonical unit."""


KINDS: Final = {
    "ambient_temperature": Kind("temperature", "degF", "degC", "(x - 32) * 5 / 9"),
    "machine_temperature": Kind("temperature", "degF", "degC", "(x - 32) * 5 / 9"),
    "occupancy": Kind("occupancy", "percent", "percent", "x"),
    "speed": Kind("speed", "mph", "m/s", "x * 1609.344 / 3600"),
    "TravelTime": Kind("travel_time", "s", "s", "x"),
}


def _kind(path: Path) -> Kind:
    return next(kind for beginning, kind in KINDS.items() if path.name.startswith(beginning))


def _telemetry(path: Path) -> Iterator[tuple[bytes, bytes]]:
    kind = _kind(path)
    with path.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            instant = datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC)
            message = {
                "device_id": path.stem,
                "metric": kind.metric,
                "value": float(row["value"]),
                "unit": kind.unit,
                "event_time": int(instant.timestamp()) * 1_000,
                "seq": number,
            }
            yield path.stem.encode(), json.dumps(message).encode()


# A window takes what comes before the metric's clock, its own time included, has passed the window's end and the grace.
_RECOUNT: Final = """
WITH rows AS (
    SELECT row_number() OVER () AS n, epoch_ms(timestamp) AS t, value AS x
    FROM read_csv(?, columns = {{'timestamp': 'TIMESTAMP', 'value': 'DOUBLE'}}, header = true, parallel = false)
), readings AS (
    SELECT n, t, {conversion} AS v, max(t) OVER (ORDER BY n) AS clock, t // {window} * {window} AS start FROM rows
), whole AS (
    SELECT count(*) AS count, sum(v) AS sum, avg(v) AS mean, var_pop(v) AS variance, min(v) AS min, max(v) AS max,
        min(t) AS first_seen, max(t) AS last_seen, max(clock) AS clock, arg_max(v, (t, n)) AS last_value,
        max(n) FILTER (t = clock) - 1 AS last_seq,
        count(*) FILTER (t < clock) AS out_of_order, count(*) FILTER (clock >= start + {window} + {grace}) AS late
    FROM readings
), windows AS (
    SELECT start, count(*) AS count, sum(v) AS sum, min(v) AS min, max(v) AS max, avg(v) AS mean,
        (SELECT clock FROM whole) >= start + {window} + {grace} AS closed FROM readings
    WHERE clock < start + {window} + {grace} GROUP BY start
)
"""


def _query(path: Path, select: str) -> list[dict[str, Any]]:
    recount = _RECOUNT.format(conversion=_kind(path).conversion, window=WINDOW_MS, grace=GRACE_MS)
    found = duckdb.execute(recount + select, [str(path)])
    assert found.description is not None
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _expected_device(path: Path) -> dict[str, Any]:
    (row,) = _query(path, "SELECT * FROM whole")
    metric = {name: row[name] for name in ("count", "sum", "mean", "variance", "min", "max", "out_of_order", "late")}
    last = {"value": row["last_value"], "event_time": row["last_seen"], "seq": row["last_seq"]}
    metric |= {"unit": _kind(path).canonical, "last": last, "restarts": 0, "too_old": 0}
    return {
        "device_id": path.stem,
        "first_seen": row["first_seen"],
        "last_seen": row["last_seen"],
        "readings": row["count"],
        "duplicates": 0,
        "metrics": {_kind(path).metric: metric},
    }


def _expected_windows(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that have closed, and those still open, in order."""
    closed: list[dict[str, Any]] = []
    still_open: list[dict[str, Any]] = []
    for row in _query(path, "SELECT * FROM windows ORDER BY start"):
        start = row.pop("start")
        (closed if row.pop("closed") else still_open).append(
            {
                "device_id": path.stem,
                "metric": _kind(path).metric,
                "unit": _kind(path).canonical,
                "window_start": start,
                "window_end": start + WINDOW_MS,
                **row,
            }
        )
    return closed, still_open


@pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data at {DATA.relative_to(Path(__file__).parents[3])}")
def test_real_series_are_counted_as_sql_counts_them(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    series = sorted(DATA.glob("*.csv"))
    with Cluster(
        kafka.bootstrap_servers,
        prefix,
        tmp_path,
        partitions=3,
        window_ms=WINDOW_MS,
        grace_ms=GRACE_MS,
        window_retention_ms=TEN_YEARS_MS,
    ) as cluster:
        cluster.start("transform", "t0")
        cluster.start("aggregate", "a0")
        for path in series:
            cluster.send("telemetry", _telemetry(path))
        cluster.drain()

        assert cluster.records("dead-letters") == []
        devices = dict(cluster.rows("device-state"))
        assert devices.keys() == {path.stem for path in series}
        kept = [row for _, row in cluster.rows("device-windows")]
        still_open = dict(cluster.rows("device-state", view="open-windows"))
        sent = [record.json for record in cluster.records("windows")]
        for path in series:
            closed, expected_open = _expected_windows(path)
            assert closed
            assert not differences(_expected_device(path), devices[path.stem], converted=True)
            assert not differences(closed, [row for row in kept if row["device_id"] == path.stem], converted=True)
            assert not differences(expected_open, still_open[path.stem], converted=True)
            of_device = [row for row in sent if row["device_id"] == path.stem]
            assert not differences(closed, sorted(of_device, key=_start), converted=True)
        machine = devices["machine_temperature_system_failure"]["metrics"]["temperature"]
        assert machine["late"] > 0, "the change of clock must have been met"


def _start(row: dict[str, Any]) -> int:
    return int(row["window_start"])
