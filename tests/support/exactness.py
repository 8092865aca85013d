"""The proof of exactly once: all that the IoT pipeline wrote and holds, against an oracle that knows only the input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import groupby
from typing import Any

from tests.oracle import Parameters, Recount, TelemetryMessage, differences, readings_of, recount
from tests.support.cluster import Cluster
from tests.support.records import StoredRecord


def assert_exactly_once(cluster: Cluster, accepted: Callable[[TelemetryMessage], bool]) -> Recount:
    """Each reading, dead letter and window once, every field of every device; of a pipeline that is drained."""
    telemetry = [
        TelemetryMessage(record.partition, record.offset, record.key or b"", record.value or b"")
        for record in cluster.records("telemetry")
    ]
    made = list(readings_of(telemetry, partitions=cluster.partitions, accepted=accepted))
    expected = recount(made, Parameters(partitions=cluster.partitions))

    good = {_origin(record.value) for record in made}
    readings = cluster.records("readings")
    assert_same_once("readings", [_origin(record.json) for record in readings], good)
    _assert_dead_letters(cluster, expected, {message[:2] for message in telemetry} - good, readings)
    _assert_windows(cluster.records("windows"), expected)
    assert_tables(cluster, expected)
    return expected


def assert_tables(cluster: Cluster, expected: Recount) -> None:
    """What the workers hold, asked over HTTP."""
    assert not differences(expected.devices, dict(cluster.rows("device-state")), converted=True)
    assert not differences(expected.rows, _by_device(row for _, row in cluster.rows("device-windows")), converted=True)
    still_open = {
        device: sorted(rows, key=lambda row: (row["metric"], row["window_start"]))
        for device, rows in cluster.rows("device-state", view="open-windows")
    }
    assert not differences(expected.open_windows, still_open, converted=True)


def assert_digests_equal(cluster: Cluster) -> None:
    """By the command: live stores, changelogs folded anew and source folded anew have one digest a partition."""
    for how in ([], ["--from-source"]):
        result = cluster.command("verify", "--json", *how)
        assert result.returncode == 0, result.stdout + result.stderr
        rows = [json.loads(row) for row in result.stdout.splitlines()]
        assert rows[-1]["equal"]
        assert [row["verdict"] for row in rows[:-1]] == ["equal"] * cluster.partitions


def assert_same_once(what: str, found: Sequence[Hashable], expected: Iterable[Hashable]) -> None:
    """The same things, each once."""
    counts = Counter(found)
    wanted = set(expected)
    assert not [(each, times) for each, times in counts.items() if times > 1][:10], f"{what}: doubled"
    assert not list(wanted - counts.keys())[:10], f"{what}: lost"
    assert not list(counts.keys() - wanted)[:10], f"{what}: from nowhere"


def _assert_dead_letters(
    cluster: Cluster, expected: Recount, broken: set[tuple[int, int]], readings: Sequence[StoredRecord]
) -> None:
    letters = cluster.records("dead-letters")
    found = [_refused(letter) for letter in letters if letter.headers["statelog-stage"] == b"transform"]
    assert_same_once("dead letters of transform", found, broken)
    made_from = {(record.partition, record.offset): _origin(record.json) for record in readings}
    found_late = [
        (*made_from[_refused(letter)], letter.headers["statelog-reason"].decode())
        for letter in letters
        if letter.headers["statelog-stage"] == b"aggregate"
    ]
    assert_same_once("dead letters of aggregate", found_late, expected.refusals)


def _assert_windows(windows: Sequence[StoredRecord], expected: Recount) -> None:
    results = [record.json for record in windows]
    wanted = [result for of_device in expected.results.values() for result in of_device]
    assert_same_once("windows", [_window(result) for result in results], [_window(result) for result in wanted])
    assert not differences(
        {name: sorted(rows, key=_window) for name, rows in expected.results.items()},
        _by_device(sorted(results, key=_window)),
        converted=True,
    )


def _window(result: dict[str, Any]) -> tuple[str, str, int]:
    return result["device_id"], result["metric"], result["window_start"]


def _origin(reading: Any) -> tuple[int, int]:
    """Partition and offset of the telemetry."""
    _topic_id, partition, offset = reading["origin"]
    return partition, offset


def _refused(letter: StoredRecord) -> tuple[int, int]:
    """Partition and offset of what was refused."""
    return int(letter.headers["statelog-origin-partition"]), int(letter.headers["statelog-origin-offset"])


def _by_device(results: Iterable[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    return {device: list(rows) for device, rows in groupby(results, key=lambda row: str(row["device_id"]))}
