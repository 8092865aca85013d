"""Records of `readings` by hand, for tests of aggregate workers that need no transform before them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.oracle import ReadingsRecord
from tests.support.records import StoredRecord

START_MS = 1_735_689_600_000
INTERVAL_MS = 20_000


def readings(devices: int, rounds: int, first_round: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """So many devices, each with one reading a round: three rounds fill a window of a minute."""
    for number in range(first_round, first_round + rounds):
        for device in range(devices):
            name = f"device-{device:06d}"
            reading = {
                "device_id": name,
                "metric": "level",
                "value": float((device * 7 + number * 13) % 101),
                "unit": "percent",
                "event_time": START_MS + number * INTERVAL_MS,
                "seq": number,
                "tags": None,
                # As if each device's telemetry came from a partition of its own: offsets rise in each.
                "origin": ["by-hand", device, number],
            }
            yield name.encode(), json.dumps(reading, separators=(",", ":")).encode()


def for_the_oracle(records: list[StoredRecord]) -> Iterator[ReadingsRecord]:
    """What is in the topic, as the oracle takes it."""
    for record in records:
        value: Any = record.json
        yield ReadingsRecord(record.partition, record.offset, record.key or b"", value)
