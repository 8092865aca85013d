"""Keys of the IoT tables: how they are built, ordered, typed by people and shown.

Ids hold no zero byte, so a zero byte ends them; numbers are big-endian, so byte order is their order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from operators.topology import KeyRange

_END: Final = b"\x00"
_AFTER_END: Final = b"\x01"
_DEVICE_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)
_METRIC: Final = re.compile(r"[a-z0-9_]{1,32}", re.ASCII)
_TIME_BYTES: Final = 8
_PARTITION_BYTES: Final = 4

WINDOW_PARAMETERS: Final = ("metric", "from", "to")
"""What `select_windows` understands."""


def window_prefix(device_id: str, metric: str) -> bytes:
    """What the keys of a metric's windows begin with; `time_suffix` of a window's start completes one."""
    return f"{device_id}\0{metric}\0".encode()


def time_suffix(time_ms: int) -> bytes:
    return time_ms.to_bytes(_TIME_BYTES, "big")


def split_window_key(key: bytes) -> tuple[str, str, int]:
    """The device id, the metric and the start of a window."""
    device, metric, start = key.split(_END, 2)
    return device.decode(), metric.decode(), int.from_bytes(start, "big")


def origin_key(topic_id: str, partition: int) -> bytes:
    return topic_id.encode() + _END + partition.to_bytes(_PARTITION_BYTES, "big")


def split_origin_key(key: bytes) -> tuple[str, int]:
    """The topic id and the partition."""
    topic_id, partition = key.split(_END, 1)
    return topic_id.decode(), int.from_bytes(partition, "big")


class DeviceKey:
    """Keys that are a device id."""

    def parse(self, text: str) -> bytes:
        if not _DEVICE_ID.fullmatch(text):
            raise ValueError(f"{text!r} is no device id: 1 to 64 letters, digits, dots, underscores, colons, hyphens")
        return text.encode()

    def route(self, key: bytes) -> bytes:
        return key

    def show(self, key: bytes) -> str:
        return key.decode()


class WindowKey(DeviceKey):
    """Keys of windows: found by their device id, shown as DEVICE/METRIC/START."""

    def route(self, key: bytes) -> bytes:
        return key.split(_END, 1)[0]

    def show(self, key: bytes) -> str:
        device, metric, start = split_window_key(key)
        return f"{device}/{metric}/{start}"


class OriginKey:
    """Keys of origins, shown as TOPIC-ID/PARTITION; their rows are local, no key leads to them."""

    def parse(self, text: str) -> bytes:
        raise ValueError(f"origins cannot be looked up by key ({text!r}), list them")

    def route(self, key: bytes) -> bytes:
        return key

    def show(self, key: bytes) -> str:
        topic_id, partition = split_origin_key(key)
        return f"{topic_id}/{partition}"


def select_windows(device: bytes, parameters: Mapping[str, str]) -> KeyRange:
    """The windows of a device, of one `metric`, that start at or after `from` and before `to` (ms since the epoch)."""
    metric = parameters.get("metric")
    if metric is None:
        if alone := [name for name in ("from", "to") if name in parameters]:
            raise ValueError(f"{' and '.join(alone)} need a metric beside them")
        return KeyRange(device + _END, device + _AFTER_END)
    if not _METRIC.fullmatch(metric):
        raise ValueError(f"{metric!r} is no metric: 1 to 32 lower-case letters, digits, underscores")
    prefix = window_prefix(device.decode(), metric)
    start, stop = (_time(parameters, name) for name in ("from", "to"))
    return KeyRange(
        prefix if start is None else prefix + time_suffix(start),
        prefix[:-1] + _AFTER_END if stop is None else prefix + time_suffix(stop),
    )


def _time(parameters: Mapping[str, str], name: str) -> int | None:
    text = parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 15):
        raise ValueError(f"{name} is a time in ms since the epoch, not {text!r}")
    return int(text)
