"""The readings of the benchmark of large state, and what is made of its figures."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from benchmarks.large import report
from benchmarks.large.readings import INTERVAL_MS, Fleet
from schemas.reading import decode_reading, encode_reading


@pytest.mark.parametrize("devices", [1, 7, 1_000])
def test_every_device_reports_once_a_round_and_is_counted(devices: int) -> None:
    fleet, readings = Fleet(devices), 3 * devices + devices // 2
    messages = list(chain.from_iterable(fleet.messages(0, readings)))
    sent = Counter(key for key, _ in messages)
    counts = fleet.counts(readings)
    assert [sent[fleet.key(device)] for device in range(devices)] == counts.tolist()
    for start in range(0, 3 * devices, devices):
        assert len({key for key, _ in messages[start : start + devices]}) == devices
    keys = [key for key, _ in messages[:devices] if key is not None]
    assert fleet.numbers(keys).tolist() == list(range(devices))


def test_readings_are_as_a_transform_worker_writes_them_and_each_closes_the_window_before() -> None:
    fleet = Fleet(50)
    last: dict[str, int] = {}
    for key, value in chain.from_iterable(fleet.messages(0, 400)):
        reading = decode_reading(value or b"")
        assert encode_reading(reading) == value
        assert reading.device_id.encode() == key
        if reading.device_id in last:
            assert reading.event_time == last[reading.device_id] + INTERVAL_MS
        last[reading.device_id] = reading.event_time


def test_the_readings_of_some_devices_are_theirs_alone_and_all() -> None:
    fleet = Fleet(100)
    everything = list(enumerate(chain.from_iterable(fleet.messages(0, 730))))
    keys = {fleet.key(device) for device in (3, 40, 99)}
    assert list(fleet.of_devices([3, 40, 99], 730)) == [each for each in everything if each[1][0] in keys]


def size(devices: int, rate: float) -> dict[str, Any]:
    restored = {"records": 1_000_000, "seconds": 2.0, "since_start_s": 4.0, "peak_rss_mb": 300.0}
    start = {"ready_s": 1.5, "answer_s": 1.6}
    return {
        "devices": devices,
        "figures": {
            "readings": 400_000,
            "rows": devices + 400_000,
            "fill_rate": rate,
            "ingest_rate": rate,
            "fill_rss_mb": 500.0,
            "ingest_rss_mb": 600.0,
            "disk_bytes": 10_000_000,
            "changelog_bytes": None,
        },
        "starts": {"stopped": [start], "killed": [start, {"ready_s": 2.5, "answer_s": 2.75}]},
        "restores": [
            {"statelog": restored, "statelog, 2 workers": {**restored, "seconds": 1.0}, "kafka-streams": restored},
            {"statelog": restored, "statelog, 2 workers": restored, "kafka-streams": {**restored, "seconds": 4.0}},
        ],
    }


FIGURES: dict[str, Any] = {
    "date": "2026-11-21T22:00:00+00:00",
    "machine": {"cores": "2", "processor": "a processor", "memory_gb": "24"},
    "skipped": None,
    "sizes": [size(10_000, 200_000.0), size(1_000_000, 50_000.0)],
}


def test_the_table_has_ratios_of_each_round_and_the_slowest_start() -> None:
    rows = report.table(FIGURES["sizes"]).splitlines()
    assert rows[0] == "|  | 10,000 devices | 1,000,000 devices |"
    assert "| … beside 10,000 devices | 1.00 | 0.25 |" in rows
    assert "| restore, records/s: statelog, 2 workers | 750,000 (500,000 to 1,000,000) |" in "\n".join(rows)
    assert rows.count("| … times the rate of Kafka Streams | 1.50 (1.00 to 2.00) | 1.50 (1.00 to 2.00) |") == 1
    assert rows.count("| … seconds, since the process began | 4.0 | 4.0 |") == 3
    assert "| s to active, warm disk, after kill -9 at work | 2.50 | 2.50 |" in rows
    assert "| changelogs on the broker's disk, MB | n/a | n/a |" in rows


def test_the_documentation_gets_table_and_plot_between_its_marks(tmp_path: Path) -> None:
    page, plot = tmp_path / "page.md", tmp_path / "plot.svg"
    page.write_text("before\n<!-- large state: begin. Filled. -->\nold\n<!-- large state: end -->\nafter\n")
    report.into_docs(FIGURES, page, plot)
    text = page.read_text()
    assert report.table(FIGURES["sizes"]) in text
    assert "](images/plot.svg)" in text
    assert plot.read_text().count("restoring") == 1
