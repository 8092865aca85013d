"""The work that every peer does, and how what it left behind is checked.

Each workload says, field by field, what a peer must have computed; the expectation is the oracle's, which shares no
code with any peer. All fold in the order of each partition, each device's metric by its own event-time clock, and keep
their state in a table with a changelog.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from benchmarks.dataset import Dataset, for_the_oracle
from benchmarks.reading import PARTITIONS
from tests.oracle import Parameters, ReadingsRecord, differences, readings_of, recount

Documents = Mapping[Any, Any]
Found = dict[str, Documents]
"""By the name of a part of the result: by key, documents in the words of the contract."""

WINDOW_MS: Final = 60_000
GRACE_MS: Final = 30_000
RETENTION_MS: Final = 86_400_000
_PARAMETERS: Final = Parameters(WINDOW_MS, GRACE_MS, RETENTION_MS, PARTITIONS)
_STATISTICS: Final = ("unit", "count", "sum", "mean", "variance", "min", "max", "out_of_order")


class Workload(NamedTuple):
    """One kind of work."""

    letter: str
    title: str
    source: str
    """Which topic is read: `telemetry` or `readings`."""
    outputs: tuple[str, ...]
    """Topics that are written, beside changelogs."""
    expected: Callable[[Dataset], Found]


@dataclass
class Checker:
    """The oracle's word on a dataset, asked once a workload."""

    dataset: Dataset

    def __post_init__(self) -> None:
        self._expected: dict[str, Found] = {}

    def expected(self, work: Workload) -> Found:
        if work.letter not in self._expected:
            self._expected[work.letter] = work.expected(self.dataset)
        return self._expected[work.letter]

    def differences(self, work: Workload, found: Found) -> list[str]:
        """Where a peer's result differs from the oracle's, a line a field; none: they agree."""
        expected = self.expected(work)
        lines = [f"{part}: not looked at" for part in expected if part not in found]
        for part, documents in found.items():
            lines += _differences(part, expected[part], documents)
        return lines


def _differences(part: str, expected: Documents, found: Documents) -> list[str]:
    """Equal documents are passed over at once: of a million most are."""
    unlike = [key for key in expected if key not in found or found[key] != expected[key]]
    surplus = [key for key in found if key not in expected]
    wanted = {key: expected[key] for key in unlike}
    actual = {key: found[key] for key in [*unlike, *surplus] if key in found}
    return [f"{part}: {line}" for line in differences(wanted, actual, converted=True)]


def _normalised(dataset: Dataset) -> Found:
    topic_id = dataset.telemetry.topic_id
    readings = readings_of(dataset.telemetry.telemetry(), partitions=PARTITIONS, topic_id=topic_id)
    return {"readings": by_origin(record.value for record in readings if record.value is not None)}


def by_origin(readings: Iterator[dict[str, Any]]) -> Documents:
    """By telemetry's partition and offset; what comes twice is marked, and so equal to nothing."""
    found: dict[tuple[int, int], Any] = {}
    for reading in readings:
        _, partition, offset = reading["origin"]
        found[partition, offset] = reading if (partition, offset) not in found else "comes twice"
    return found


def _unnumbered(dataset: Dataset) -> Iterator[ReadingsRecord]:
    """Readings whose `seq` is not looked at: each counts."""
    for record in for_the_oracle(dataset.readings):
        assert record.value is not None
        yield record._replace(value={**record.value, "seq": None})


def statistics_only(device: dict[str, Any]) -> dict[str, Any]:
    """Of a `DeviceState` what workload b computes."""
    return {
        **{name: device[name] for name in ("first_seen", "last_seen", "readings")},
        "metrics": {
            name: {
                **{each: metric[each] for each in _STATISTICS},
                "last": {each: metric["last"][each] for each in ("value", "event_time")},
            }
            for name, metric in device["metrics"].items()
        },
    }


def _statistics(dataset: Dataset) -> Found:
    found = recount(_unnumbered(dataset), _PARAMETERS)
    return {"devices": {name: statistics_only(device) for name, device in found.devices.items()}}


def _windows(dataset: Dataset) -> Found:
    found = recount(_unnumbered(dataset), _PARAMETERS)
    late = {
        name: {metric: each["late"] for metric, each in device["metrics"].items()}
        for name, device in found.devices.items()
    }
    return {"results": found.results, "open windows": found.open_windows, "late": late}


def _whole(dataset: Dataset) -> Found:
    found = recount(for_the_oracle(dataset.readings), _PARAMETERS._replace(partitions=dataset.partitions))
    assert not found.refusals, "the benchmark's readings must be good"
    return {
        "devices": found.devices,
        "results": found.results,
        "rows": found.rows,
        "open windows": found.open_windows,
        "origins": found.origins,
    }


NORMALISE: Final = Workload("a", "stateless normalise", "telemetry", ("readings",), _normalised)
"""Parse, check (fields and their types, key = device_id, unit known, |value| at most 1e15, event time at most 5 minutes
ahead of the record's timestamp), convert to the canonical unit, send as JSON with the origin. What fails is dropped."""

STATISTICS: Final = Workload("b", "device statistics", "readings", (), _statistics)
"""A row a device: first and last event time, and by metric unit, count, sum, mean, variance, least, greatest, last
value with its event time, and how many came out of order."""

WINDOWS: Final = Workload("c", "tumbling windows", "readings", ("windows",), _windows)
"""Windows of 60 s on each device-metric's own clock, 30 s of grace; a final result (count, sum, min, max, mean) is sent
once, as JSON; open windows, and the count of late readings, are in a row a device."""

DEVICES: Final = Workload("d", "the shipped topology", "readings", ("windows",), _whole)
"""b and c, the duplicates check by `seq` (64 remembered, restarts told), the greatest origin folded of each telemetry
partition in a table, and final results of 24 h in a table too."""

WORKLOADS: Final = {work.letter: work for work in (NORMALISE, STATISTICS, WINDOWS, DEVICES)}
