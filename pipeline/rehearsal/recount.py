"""What the telemetry amounts to, counted by plain loops from the topic itself.

It shares no code with the operators: other parsing, other formulas for units, another way to know a duplicate. A
message is broken if its maker says so, and a duplicate if the same bytes came before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from pipeline.telemetry.poison import Message

_UNITS: Final[dict[str, Callable[[float], float]]] = {
    "degC": lambda x: x,
    "degF": lambda x: (x - 32) * 5 / 9,
    "Pa": lambda x: x,
    "kPa": lambda x: x * 1_000,
    "bar": lambda x: x * 100_000,
    "percent": lambda x: x,
    "V": lambda x: x,
    "mV": lambda x: x / 1_000,
    "W": lambda x: x,
    "kW": lambda x: x * 1_000,
    "m/s": lambda x: x,
    "mm/s": lambda x: x / 1_000,
    "km/h": lambda x: x / 3.6,
}
"""What the made-up devices report in, to degrees Celsius, pascals, percent, volts, watts and metres a second."""


class Sent(NamedTuple):
    """A record of `telemetry`."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


@dataclass
class MetricCount:
    count: int = 0
    sum: float = 0.0
    """In the canonical unit."""


@dataclass
class DeviceCount:
    metrics: dict[str, MetricCount] = field(default_factory=dict)
    duplicates: int = 0


@dataclass
class Recount:
    """The account of all that was sent."""

    devices: dict[str, DeviceCount] = field(default_factory=dict)
    readings: int = 0
    """Good messages, each set of duplicates once."""
    duplicates: int = 0
    good: set[tuple[int, int]] = field(default_factory=set)
    """Partition and offset of each good message, duplicates included."""
    broken: set[tuple[int, int]] = field(default_factory=set)


def recount(records: Iterable[Sent], broken: Collection[Message]) -> Recount:
    """Count everything; `broken` are the messages that were broken on purpose."""
    total = Recount()
    seen: set[bytes] = set()
    for record in records:
        origin = (record.partition, record.offset)
        if (record.key, record.value) in broken or record.value is None:
            total.broken.add(origin)
            continue
        total.good.add(origin)
        reading = json.loads(record.value)
        device = total.devices.setdefault(reading["device_id"], DeviceCount())
        if record.value in seen:
            device.duplicates += 1
            total.duplicates += 1
            continue
        seen.add(record.value)
        metric = device.metrics.setdefault(reading["metric"], MetricCount())
        metric.count += 1
        metric.sum += _UNITS[reading["unit"]](reading["value"])
        total.readings += 1
    return total
