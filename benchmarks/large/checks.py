"""What a worker's stores hold, read from its disk while it is down, beside what was sent.

Every device: that it is there, once, with as many readings as it has sent and the last one's value. Some devices: the
whole row, the open windows and the closed ones, as the oracle has them. And a digest of all, by which a store that was
restored is known to be the same.
"""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.large.readings import METRIC, Fleet
from benchmarks.reading import PARTITIONS
from benchmarks.workloads import GRACE_MS, RETENTION_MS, WINDOW_MS
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS
from operators.topology import TableSpec
from pipeline.runtime.start import load_topology
from pipeline.settings import Settings
from pipeline.state.api import StoreView
from pipeline.state.digest import digest
from pipeline.state.envelope import unseal
from pipeline.state.identity import read_identity
from pipeline.state.rocks import RocksStore
from schemas.state import DeviceRow
from tests.oracle import Parameters, ReadingsRecord, differences, recount
from tests.oracle.partitioner import partition_for

TABLES: Final = (DEVICE_STATE, DEVICE_WINDOWS, ORIGINS)
_SAMPLE: Final = 1_000
_ROWS_AT_A_TIME: Final = 50_000


class WrongState(Exception):
    """What was restored or folded is not what it has to be, so that no time counts."""


class Contents(NamedTuple):
    """Of all stores of a worker."""

    rows: int
    digests: dict[int, str]
    """By partition."""


def digests(data_dir: Path) -> dict[int, str]:
    """Raises WrongState when a partition has no store."""
    with _views(data_dir) as views:
        return {partition: digest(view, TABLES) for partition, view in views.items()}


def check(data_dir: Path, fleet: Fleet, readings: int) -> int:
    """That the stores are the fold of the first so many readings; how many rows they have. Raises WrongState."""
    with _views(data_dir) as views:
        _check_counts(views, fleet, readings)
        rows = _check_some(views, fleet, readings)
    return fleet.devices + rows


@contextmanager
def _views(data_dir: Path) -> Iterator[dict[int, StoreView]]:
    """By partition, of whichever worker has it whole: another one may have begun with it, and lost it."""
    with ExitStack() as stack:
        views: dict[int, StoreView] = {}
        for path in sorted(path for path in data_dir.glob("*/*/*") if path.name.isdigit()):
            identity = read_identity(path)
            assert identity is not None, path
            store = RocksStore.open(path, identity, TABLES)
            stack.callback(store.close)
            if store.restoring is None:
                views[identity.partition] = stack.enter_context(store.view())
        if len(views) != PARTITIONS:
            raise WrongState(f"whole stores of partitions {sorted(views)} instead of {PARTITIONS}")
        yield views


def _table(name: str) -> TableSpec[Any]:
    return load_topology(Settings()).table(name)[1]


def _check_counts(views: Mapping[int, StoreView], fleet: Fleet, readings: int) -> None:
    expected = fleet.counts(readings)
    seen = np.zeros(fleet.devices, dtype=bool)
    decode = _table(DEVICE_STATE).value.decode
    for view in views.values():
        keys: list[bytes] = []
        counts: list[int] = []

        def compare(keys: list[bytes], counts: list[int]) -> None:
            numbers = fleet.numbers(keys)
            if (numbers >= fleet.devices).any() or seen[numbers].any():
                raise WrongState("a device that never was, or twice")
            seen[numbers] = True
            if wrong := int((expected[numbers] != np.array(counts)).sum()):
                raise WrongState(f"{wrong} devices of {len(keys)} have not as many readings as they sent")

        for key, value in view.scan(DEVICE_STATE):
            keys.append(key)
            counts.append(_readings_in(decode(unseal(value))))
            if len(keys) == _ROWS_AT_A_TIME:
                compare(keys, counts)
                keys, counts = [], []
        if keys:
            compare(keys, counts)
    if not seen.all():
        raise WrongState(f"{int((~seen).sum())} devices are missing")


def _readings_in(row: DeviceRow) -> int:
    metric = row.metrics[METRIC]
    (latest,) = struct.unpack_from("<8xq", metric.latest)
    return metric.settled.count + sum(window.count for window in metric.older) + int(latest)


def _check_some(views: Mapping[int, StoreView], fleet: Fleet, readings: int) -> int:
    """Devices spread over all of them, whole; and the number of rows of closed windows, all of them."""
    chosen = list(range(0, fleet.devices, max(1, fleet.devices // _SAMPLE)))
    records = (
        ReadingsRecord(partition_for(key or b"", PARTITIONS), number, key or b"", json.loads(value or b""))
        for number, (key, value) in fleet.of_devices(chosen, readings)
    )
    expected = recount(records, Parameters(WINDOW_MS, GRACE_MS, RETENTION_MS, PARTITIONS))
    state, windows = _table(DEVICE_STATE), _table(DEVICE_WINDOWS)
    devices: dict[str, Any] = {}
    still_open: dict[str, Any] = {}
    rows: defaultdict[str, list[Any]] = defaultdict(list)
    count = 0
    for device in chosen:
        key = fleet.key(device)
        sealed = views[partition_for(key, PARTITIONS)].get(DEVICE_STATE, key)
        assert sealed is not None, key
        row = state.value.decode(unseal(sealed))
        devices[key.decode()] = state.show(key, row)
        still_open[key.decode()] = state.views["open-windows"](key, row)
    for view in views.values():
        for key, sealed in view.scan(DEVICE_WINDOWS):
            count += 1
            name = key[: key.index(b"\0")].decode()
            if name in devices:
                rows[name].append(windows.show(key, windows.value.decode(unseal(sealed))))
    unlike = differences(expected.devices, devices, converted=True)
    unlike += differences(expected.rows, dict(rows), converted=True)
    unlike += differences(expected.open_windows, still_open, converted=True)
    if count != readings - fleet.devices:
        unlike.append(f"{count} closed windows instead of {readings - fleet.devices}")
    if unlike:
        raise WrongState("\n".join(unlike[:20]))
    return count
