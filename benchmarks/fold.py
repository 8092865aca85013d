"""How long one fold takes: `DeviceAggregate.fold` with everything in memory, and nothing else.

    python -m benchmarks.fold [--devices N] [--readings N] [--interval-ms N]

Prints microseconds of CPU a reading, the best and the median of many short runs: of decoding alone, and of the whole
fold, decoding included. Then of encoding a device's row, which a worker does once a commit for each device that it
touched.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Iterable
from typing import Any

from operators.api import Record, Refusal, Table
from operators.device import DEVICE_STATE, DEVICE_WINDOWS, ORIGINS, DeviceAggregate
from operators.testing import DictTable, everything
from schemas.reading import Origin, ReadingRecord, decode_reading, encode_reading
from schemas.state import DeviceRow, StateCodec, WindowRow

METRICS = {"temperature": "degC", "pressure": "Pa", "power": "W"}
RUN = 500
"""Readings, or rows, of one run."""


def records(devices: int, readings: int, interval_ms: int) -> list[Record]:
    """Devices take turns, a metric after the other; 1 reading in 100 is 20 s late, 1 in 100 is followed by itself."""
    chance = random.Random(7)
    turns = [(f"device-{device:06}", *metric) for metric in METRICS.items() for device in range(devices)]
    made: list[Record] = []
    place = 0
    for offset in range(readings):
        seq, who = divmod(place, len(turns))
        device_id, metric, unit = turns[who]
        event_time = 1_386_018_900_000 + seq * interval_ms - (20_000 if chance.random() < 0.01 else 0)
        place += chance.random() > 0.01
        origin = Origin("yYhCXnSLTZS0ZtZNaZqVaA", 3, offset)
        value = round(chance.gauss(20, 5), 2)
        reading = ReadingRecord(device_id, metric, value, unit, event_time, seq, None, origin)
        key, topic_id = device_id.encode(), "UPl2bC4nT7mWc3RyYx0a1g"
        made.append(Record(key, encode_reading(reading), event_time, topic_id, 3, offset))
    return made


def show(what: str, runs: Iterable[float], unit: str) -> None:
    each = [seconds / RUN * 1e6 for seconds in runs]
    print(f"{what}  best {min(each):5.2f}  median {statistics.median(each):5.2f}  µs a {unit}")


def main(devices: int, readings: int, interval_ms: int) -> None:
    source = records(devices, readings, interval_ms)
    rows = DictTable(StateCodec(DeviceRow))
    tables: dict[str, Table[Any]] = {
        DEVICE_STATE: rows,
        DEVICE_WINDOWS: DictTable(StateCodec(WindowRow)),
        ORIGINS: DictTable(StateCodec(int)),
    }
    fold = DeviceAggregate(tables, everything, window_ms=60_000, grace_ms=30_000, retention_ms=86_400_000).fold
    warm = 2 * devices * len(METRICS)  # every metric exists
    for record in source[:warm]:
        fold(record)
    gc.collect()
    gc.freeze()
    decoding, folding = [], []
    for start in range(warm, len(source) - RUN, RUN):
        part = source[start : start + RUN]
        began = time.process_time()
        for record in part:
            decode_reading(record.value or b"")
        decoded = time.process_time()
        outcomes = [fold(record) for record in part]
        folding.append(time.process_time() - decoded)
        decoding.append(decoded - began)
        if any(isinstance(outcome, Refusal) for outcome in outcomes):
            raise SystemExit("the benchmark's readings must be good")
    print(f"{devices} devices, {len(METRICS)} metrics each, {readings} readings, {interval_ms} ms between a metric's")
    show("decode", decoding, "reading")
    show("fold  ", folding, "reading")
    show("encode", encoding_runs(rows, devices), "device")


def encoding_runs(rows: DictTable[DeviceRow], devices: int) -> Iterable[float]:
    rows.commit()
    encode = StateCodec(DeviceRow).encode
    some = list(rows.rows().values())[:RUN]
    for _ in range(max(20, devices // RUN)):
        began = time.process_time()
        for place in range(RUN):
            encode(some[place % len(some)])
        yield time.process_time() - began


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="how long one fold of the device aggregate takes")
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--readings", type=int, default=300_000)
    parser.add_argument("--interval-ms", type=int, default=1_000)
    main(**vars(parser.parse_args()))
