"""What the IoT tables hold, and its canonical bytes. Internal: people see `DeviceState` and `WindowResult`.

The structs are mutable because a fold changes them in place, a few million times a second; they refer to nothing that
refers back to them, so the garbage collector need not know them (`gc=False`).
"""

from __future__ import annotations

from struct import Struct
from typing import Annotated, Final, Generic, NamedTuple, TypeVar

import msgspec

Value = TypeVar("Value")


class Summary(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """Values, summed up: see `operators.statistics`."""

    count: int
    sum: float
    squares: float
    """The sum of the squared deviations from the mean."""
    min: float
    max: float


class OpenWindow(Summary):
    """A window that still takes readings."""

    start: int


class Latest(NamedTuple):
    """What each reading changes of its metric: the latest window, and the clock. Kept packed, see `LATEST`."""

    start: int
    """Of the latest window, the one that holds the clock."""
    readings: int
    sum: float
    squares: float
    min: float
    max: float
    last_time: int
    """The metric's event-time clock: the greatest event time folded; -1 before the first."""
    last_value: float
    last_seq: int
    """-1 for none."""
    greatest_seq: int
    """Of this run of the sequence; -1 before the first reading that has a `seq`."""
    missing: int
    """64 bits; bit i: `greatest_seq - i` was not folded. 0 once a sequence has had no gaps for long enough."""
    due: int
    """The clock at which a window closes or a row expires next."""


LATEST: Final = Struct("<qqddddqdqqQq")
"""The layout of `Latest`, in the order of its fields.

Twelve numbers in one piece of memory, not twelve objects: among tens of thousands of metrics hardly one is in the
processor's caches when its reading comes, and the fold then waits for each object that it has to follow.
"""


class MetricState(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """One metric of one device. Times are event times in ms."""

    unit: str
    latest: Annotated[bytes, msgspec.Meta(min_length=LATEST.size, max_length=LATEST.size)]
    """A `Latest`, packed."""
    settled: Summary
    """The readings of closed windows, and the late ones: all but those of the open windows."""
    older: list[OpenWindow]
    """Open windows before the latest, by start."""
    oldest_row: int = -1
    """Start of the oldest window kept in device-windows; -1 when none is."""
    out_of_order: int = 0
    late: int = 0
    restarts: int = 0
    too_old: int = 0

    def unpacked(self) -> Latest:
        """The numbers of `latest`, by name."""
        return Latest._make(LATEST.unpack(self.latest))

    def open_windows(self) -> list[OpenWindow]:
        """All that still take readings, by start: the older ones, and a copy of the latest."""
        latest = self.unpacked()
        return [*self.older, OpenWindow(*latest[1:6], latest.start)]


class DeviceRow(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """One device: a row of device-state."""

    first_seen: int
    duplicates: int
    metrics: dict[str, MetricState]
    """In the order of their first readings."""


class WindowRow(msgspec.Struct, array_like=True, gc=False, frozen=True, forbid_unknown_fields=True):
    """One final result: a row of device-windows, and a link of the chain of its metric's rows, by start."""

    unit: str
    count: int
    sum: float
    min: float
    max: float
    next_from: int
    """The next row, where there is one already, starts at or after this …"""
    next_until: int
    """… and at or before this."""


class StateCodec(Generic[Value]):
    """Canonical bytes: a version byte, then MessagePack, in which a struct is the array of its fields.

    Floats are kept as IEEE doubles, whole numbers in their shortest form, dicts in their own order: the same fold
    gives the same bytes.
    """

    VERSION: Final = b"\x01"

    def __init__(self, value: type[Value]) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(value).decode

    def encode(self, value: Value) -> bytes:
        return self.VERSION + self._encode(value)

    def decode(self, data: bytes) -> Value:
        """Raises ValueError for bytes of another version or another shape."""
        if data[:1] != self.VERSION:
            raise ValueError(f"a value of version {data[:1].hex() or 'none'}, expected {self.VERSION.hex()}")
        try:
            return self._decode(memoryview(data)[1:])
        except msgspec.MsgspecError as error:
            raise ValueError(f"not a stored value: {error}") from error
