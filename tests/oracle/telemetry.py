"""From raw telemetry to readings, with a small table of units of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from tests.oracle.partitioner import partition_for
from tests.oracle.readings import ReadingsRecord

_UNITS: Final[dict[str, tuple[str, Callable[[float], float]]]] = {
    "degC": ("degC", lambda x: x),
    "degF": ("degC", lambda x: (x - 32) * 5 / 9),
    "K": ("degC", lambda x: x - 273.15),
    "Pa": ("Pa", lambda x: x),
    "hPa": ("Pa", lambda x: x * 100),
    "kPa": ("Pa", lambda x: x * 1_000),
    "bar": ("Pa", lambda x: x * 100_000),
    "psi": ("Pa", lambda x: x * 0.45359237 * 9.80665 / 0.0254**2),
    "m/s": ("m/s", lambda x: x),
    "km/h": ("m/s", lambda x: x / 3.6),
    "mph": ("m/s", lambda x: x * 1_609.344 / 3_600),
    "mm/s": ("m/s", lambda x: x / 1_000),
    "percent": ("percent", lambda x: x),
    "s": ("s", lambda x: x),
    "min": ("s", lambda x: x * 60),
    "V": ("V", lambda x: x),
    "mV": ("V", lambda x: x / 1_000),
    "W": ("W", lambda x: x),
    "kW": ("W", lambda x: x * 1_000),
}
"""Units that tests send, each with its canonical unit; compare with `converted`, other formulas round otherwise."""


class TelemetryMessage(NamedTuple):
    """A record of `telemetry`; of one device they must come in their order."""

    partition: int
    offset: int
    key: bytes
    value: bytes


def readings_of(
    messages: Iterable[TelemetryMessage],
    *,
    partitions: int,
    accepted: Callable[[TelemetryMessage], bool] = lambda _message: True,
    topic_id: str = "telemetry",
) -> Iterator[ReadingsRecord]:
    """The readings that the accepted messages become; whether one is good is for the caller to know.

    Offsets of `readings` depend on how the transform's partitions interleave, and so do not matter here: those given
    are the telemetry's.
    """
    for message in messages:
        if not accepted(message):
            continue
        sent: dict[str, Any] = json.loads(message.value)
        unit, convert = _UNITS[sent["unit"]]
        reading = {
            "device_id": sent["device_id"],
            "metric": sent["metric"],
            "value": convert(float(sent["value"])) + 0.0,
            "unit": unit,
            "event_time": _milliseconds(sent["event_time"]),
            "seq": sent.get("seq"),
            "tags": sent.get("tags"),
            "origin": [topic_id, message.partition, message.offset],
        }
        yield ReadingsRecord(partition_for(message.key, partitions), message.offset, message.key, reading)


def _milliseconds(time: int | str) -> int:
    if isinstance(time, int):
        return time
    return (datetime.fromisoformat(time) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
