"""How readings that the device aggregate refused come back, and what their devices have folded since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import asdict

from operators.api import Record, Refusal
from operators.device import DEVICE_STATE, MAX_METRICS
from operators.redrive import Entry
from schemas.dead_letter import DeadLetter
from schemas.reading import RawRecord, decode_reading, encode_raw
from schemas.reasons import Reason, SchemaError

TELEMETRY: Final = "telemetry"
"""The topic where everything enters, without the pipeline's prefix."""


class DeviceRedrive:
    """Implements `operators.redrive.Redrive`.

    A reading comes back as telemetry, in its canonical unit. As a reading it would carry its old origin, which lies
    below what was folded of that origin's partition, and would change nothing, in silence.
    """

    table = DEVICE_STATE

    def __init__(self, *, window_ms: int, grace_ms: int) -> None:
        self._window_ms = window_ms
        self._grace_ms = grace_ms

    def entry(self, letter: DeadLetter) -> Entry | Refusal:
        try:
            reading = decode_reading(letter.value or b"")
        except SchemaError as error:
            return Refusal(error.reason, f"no reading can be made of it: {error.detail}")
        fields = asdict(reading)
        del fields["origin"]
        return Entry(TELEMETRY, reading.device_id.encode(), encode_raw(RawRecord(**fields)))

    def newer(self, record: Record, row: Any) -> str | Refusal | None:
        reading = decode_reading(record.value or b"")
        metric = row["metrics"].get(reading.metric)
        if metric is None:
            if len(row["metrics"]) >= MAX_METRICS:
                return Refusal(Reason.TOO_MANY_METRICS, f"the device has {MAX_METRICS} metrics")
            return None
        if metric["unit"] != reading.unit:
            return Refusal(Reason.UNIT_CHANGED, f"the metric's unit is {metric['unit']}")
        clock = metric["last"]["event_time"]
        if reading.event_time >= clock:
            return None
        start = reading.event_time - reading.event_time % self._window_ms
        closed = start + self._window_ms + self._grace_ms <= clock
        effect = "late: its window is closed" if closed else "out of order"
        return f"{reading.metric} is at {_instant(clock)}, this one is of {_instant(reading.event_time)}: {effect}"


def _instant(time_ms: int) -> str:
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError):  # beyond the year 9999, which readings written by others may be
        return str(time_ms)
