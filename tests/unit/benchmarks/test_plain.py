"""What the Python peers compute, without Kafka: their plain folds against the oracle."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, cast

import pytest

from benchmarks.dataset import Dataset
from benchmarks.latency import messages_for
from benchmarks.peers import plain
from benchmarks.peers.environment import units_rows
from benchmarks.peers.plain_rows import found_in
from benchmarks.streams import Keys, Stream
from benchmarks.workloads import DEVICES, STATISTICS, WINDOWS, Checker, Found, Workload
from tests.oracle import ReadingsRecord
from tests.oracle.partitioner import partition_for

DEVICES_OF = {"uniform": 60, "zipf": 20}
RECORDS = 6_000


class InMemory:
    """As much of a dataset as the oracle asks for."""

    def __init__(self, keys: Keys) -> None:
        self.records: list[ReadingsRecord] = []
        offsets: defaultdict[int, int] = defaultdict(int)
        for key, value in messages_for("readings", Stream(DEVICES_OF[keys], keys, RECORDS)):
            assert key is not None
            assert value is not None
            partition = partition_for(key, 4)
            self.records.append(ReadingsRecord(partition, offsets[partition], key, json.loads(value)))
            offsets[partition] += 1


@pytest.fixture(params=["uniform", "zipf"])
def readings(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> InMemory:
    made = InMemory(request.param)
    monkeypatch.setattr("benchmarks.workloads.for_the_oracle", iter)
    return made


def found(work: Workload, records: list[ReadingsRecord]) -> Found:
    """Through JSON each time, as in a peer's store."""
    rows: dict[str, str] = {}
    partitions: dict[str, int] = {}
    kept: dict[str, Any] = {}
    results: list[Any] = []
    for record in records:
        device, reading = record.key.decode(), cast("plain.Document", record.value)
        partitions[device] = record.partition
        row = json.loads(rows[device]) if device in rows else None
        closed: list[Any] = []
        if work is STATISTICS:
            row = plain.fold_statistics(row, reading)
        elif work is WINDOWS:
            row, closed = plain.fold_windows(row, reading)
        else:

            def keep(name: str, result: Any, device: str = device) -> None:
                kept[f"{device}/{name}"] = result

            def drop(name: str, device: str = device) -> None:
                kept.pop(f"{device}/{name}")

            row, closed = plain.fold_device(row, reading, keep, drop)
        if row is not None:
            rows[device] = json.dumps(row)
        results += closed
    documents = {name: json.loads(row) for name, row in rows.items()}
    return found_in(work, documents, results, kept.values(), partitions)


@pytest.mark.parametrize("work", [STATISTICS, WINDOWS, DEVICES], ids=lambda work: work.letter)
def test_the_plain_folds_equal_the_oracle(work: Workload, readings: InMemory) -> None:
    dataset = cast("Dataset", type("Readings", (), {"readings": readings.records, "partitions": 4})())
    checker = Checker(dataset)
    mine = found(work, readings.records)
    assert checker.differences(work, mine) == []
    if "results" in mine:
        assert sum(map(len, mine["results"].values())) > RECORDS / 10, "hardly a window has closed"


def test_results_are_kept_for_a_day_of_the_metrics_own_clock() -> None:
    day = 86_400_000
    kept: dict[str, Any] = {}
    row: plain.Document | None = None
    for number, time in enumerate([0, 60_000, 120_000, day, day + 200_000]):
        reading = {
            "device_id": "d",
            "metric": "m",
            "value": 1.0,
            "unit": "V",
            "event_time": time,
            "seq": number,
            "origin": ["t", 0, number],
        }
        row, _ = plain.fold_device(row, reading, kept.__setitem__, kept.pop)
    assert sorted(kept) == [f"m/{day}"]


def test_a_wrong_field_a_missing_and_a_surplus_document_are_told(readings: InMemory) -> None:
    dataset = cast("Dataset", type("Readings", (), {"readings": readings.records, "partitions": 4})())
    checker = Checker(dataset)
    mine = dict(found(STATISTICS, readings.records))
    devices = cast("dict[str, Any]", mine["devices"])
    first, second, *_ = devices
    devices[first]["readings"] += 1
    devices["nobody"] = devices.pop(second)
    told = checker.differences(STATISTICS, mine)
    assert len(told) == 3
    assert any(f"{first}.readings: expected" in line for line in told)
    assert any(f"{second}: missing" in line for line in told)
    assert any("nobody: not expected" in line for line in told)
    assert checker.differences(STATISTICS, {}) == ["devices: not looked at"]


def normalised(key: str, raw: Any, timestamp_ms: int = 1_000_000_000_000) -> plain.Document | None:
    units = plain.units_of(units_rows())
    return plain.normalise(units, key, raw, timestamp_ms, ["t", 0, 7])


def good(**changes: Any) -> dict[str, Any]:
    raw = {"device_id": "d", "metric": "m", "value": 212, "unit": "degF", "event_time": 1_000_000_000_000}
    return {**raw, **changes}


def test_the_plain_transform_converts() -> None:
    reading = normalised("d", good(seq=3))
    assert reading == good(value=100.0, unit="degC", seq=3) | {"tags": None, "origin": ["t", 0, 7]}


def broken() -> Iterator[Any]:
    yield good(unit="furlong")
    yield good(value="212")
    yield good(value=1e16, unit="degC")
    yield good(event_time=1_000_000_300_001)
    yield good(device_id="e")
    yield {"device_id": "d"}
    yield None


@pytest.mark.parametrize("raw", list(broken()))
def test_the_plain_transform_drops(raw: Any) -> None:
    assert normalised("d", raw) is None
