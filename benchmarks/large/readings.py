"""Readings of so many devices that each counts: every device reports every two minutes, so one reading, one window.

The first round fills the state, a reading a device; the readings after it come from devices spread over all of them,
and each finds a row that has to be there. All sizes so do the same work a reading: change a device's row, close a
window.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from pipeline.telemetry.generator import DEFAULT_START_MS
from pipeline.telemetry.poison import Message

METRIC: Final = "temperature"
INTERVAL_MS: Final = 120_000
"""More than a window and its grace: each reading closes the window of the one before."""
MOST_ROUNDS: Final = 600
"""Below a day of event time, so that no window is old enough to be deleted."""

_TOPIC_ID: Final = "yYhCXnSLTZS0ZtZNaZqVaA"
_BATCH: Final = 10_000
_SPREAD: Final = 2_654_435_761
"""Odd, so that ids are all different; keys that come one after the other lie far apart."""
_UNSPREAD: Final = pow(_SPREAD, -1, 1 << 32)
_GOLDEN: Final = 0.6180339887498949
_READING: Final = (
    b'{"device_id":"device-%08x","metric":"temperature","value":%d.%d5,"unit":"degC","event_time":%d,"seq":%d,'
    b'"tags":{"site":"lyon","line":"%02d"},"origin":["' + _TOPIC_ID.encode() + b'",0,%d]}'
)


class Fleet:
    """Devices by number, from 0; readings by number, the first `devices` of them the first of each device."""

    def __init__(self, devices: int) -> None:
        self.devices = devices
        self._stride = round(devices * _GOLDEN) or 1
        while math.gcd(self._stride, devices) > 1:
            self._stride += 1

    def key(self, device: int) -> bytes:
        return b"device-%08x" % (device * _SPREAD & 0xFFFFFFFF)

    def numbers(self, keys: list[bytes]) -> Any:
        """The devices' numbers, as an array."""
        spread = np.array([int(key[7:], 16) for key in keys], dtype=np.uint64)
        return (spread * np.uint64(_UNSPREAD) & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def device_of(self, reading: int) -> int:
        return reading if reading < self.devices else reading * self._stride % self.devices

    def counts(self, readings: int) -> Any:
        """How many of the first so many readings each device has, as an array."""
        later = np.arange(self.devices, readings, dtype=np.int64) * self._stride % self.devices
        return 1 + np.bincount(later, minlength=self.devices)

    def message(self, reading: int) -> Message:
        device, seq = self.device_of(reading), reading // self.devices
        spread = device * _SPREAD & 0xFFFFFFFF
        event_time = DEFAULT_START_MS + seq * INTERVAL_MS + spread % INTERVAL_MS
        value = _READING % (
            spread, 10 + spread % 40, (spread + seq) % 10, event_time, seq, spread % 20, reading
        )  # fmt: skip
        return b"device-%08x" % spread, value

    def messages(self, first: int, end: int) -> Iterator[list[Message]]:
        """Readings first … end - 1, in batches."""
        message = self.message
        for start in range(first, end, _BATCH):
            yield [message(reading) for reading in range(start, min(start + _BATCH, end))]

    def of_devices(self, devices: list[int], readings: int) -> Iterator[tuple[int, Message]]:
        """The number of each of the first so many readings that comes from one of these, in order."""
        wanted = np.zeros(self.devices, dtype=bool)
        wanted[devices] = True
        numbers = np.arange(self.devices, readings, dtype=np.int64)
        later = numbers[wanted[numbers * self._stride % self.devices]]
        for reading in [*sorted(devices), *later.tolist()]:
            yield reading, self.message(reading)
