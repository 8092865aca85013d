"""The device aggregate: what each device has done, folded from its readings."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from operators.api import Output, Record, Refusal, Table, TaskContext
from operators.duplicates import NONE_FOLDED, Verdict, judge
from operators.origins import Origins
from operators.statistics import add, empty
from operators.windows import Windows
from schemas.fields import MAX_MESSAGE_BYTES
from schemas.reading import Origin, ReadingRecord, decode_reading, skim_reading
from schemas.reasons import Reason, SchemaError
from schemas.state import DeviceRow, MetricState

DEVICE_STATE: Final = "device-state"
DEVICE_WINDOWS: Final = "device-windows"
ORIGINS: Final = "origins"

MAX_METRICS: Final = 64
"""Of one device: a bound on the size of its row."""

_UNREAD: Final = ReadingRecord("", "", 0.0, "", 0, None, None, Origin("", 0, 0))
"""Of a metric that no device has."""


class DeviceAggregate:
    """Folds readings into devices' statistics and windows: `operators.api.Aggregate`.

    Open windows live in the device's row, so that a reading costs one look-up, whatever it changes. A reading whose
    origin was folded before changes nothing. A duplicate changes a count, and so does a reading that is refused as
    too old; every other refusal leaves all tables as they were.
    """

    def __init__(
        self,
        tables: Mapping[str, Table[Any]],
        context: TaskContext,
        *,
        window_ms: int,
        grace_ms: int,
        retention_ms: int,
    ) -> None:
        self._devices: Table[DeviceRow] = tables[DEVICE_STATE]
        self._windows = Windows(
            tables[DEVICE_WINDOWS], window_ms=window_ms, grace_ms=grace_ms, retention_ms=retention_ms
        )
        self._origin_rows: Table[int] = tables[ORIGINS]
        self._origins = Origins(self._origin_rows)
        self._window_ms = window_ms
        self._context = context

    def fold(  # noqa: PLR0911, PLR0912, PLR0915 one verdict after the other; a call for each would cost as much as the fold
        self, record: Record
    ) -> Sequence[Output] | Refusal | None:
        key = record.key
        value = record.value
        if key is None:
            return Refusal(Reason.NULL_KEY, "the key is the device id")
        if value is None:
            self._forget(key)
            return None
        try:
            reading = skim_reading(value)
        except ValueError:
            reading = _UNREAD
        device = self._devices.get(key)
        metric = None if device is None else device.metrics.get(reading.metric)
        if metric is None or len(value) > MAX_MESSAGE_BYTES:
            # Ids not seen before, or not plainly good: look closely.
            try:
                reading = decode_reading(value)
            except SchemaError as error:
                return Refusal(error.reason, error.detail)
            metric = None if device is None else device.metrics.get(reading.metric)
        if key != reading.device_id.encode():
            return Refusal(Reason.WRONG_KEY, "the key is not the device_id")
        if device is None and not self._context.owns(key):
            return Refusal(Reason.WRONG_PARTITION, f"partition {self._context.partition} does not own the key")
        origin = reading.origin
        origins = self._origins
        if origin.partition != origins.partition or origin.topic_id != origins.topic_id:
            origins.turn_to(origin.topic_id, origin.partition)
        if origin.offset <= origins.folded:
            return None
        if device is None or metric is None:
            device = device or DeviceRow(reading.event_time, 0, {})
            if len(device.metrics) == MAX_METRICS:
                return Refusal(Reason.TOO_MANY_METRICS, f"the device has {MAX_METRICS} metrics")
            metric = self._begin(device, reading)
        elif metric.unit != reading.unit:
            return Refusal(Reason.UNIT_CHANGED, f"the metric's unit is {metric.unit}")
        # From here on the reading counts, one way or another.
        self._devices.put(key, device)
        origins.folded = origin.offset
        self._origin_rows.put(origins.key, origin.offset)
        event_time = reading.event_time
        seq = reading.seq
        if seq is not None:
            if seq == metric.greatest_seq + 1 and not metric.missing:
                metric.greatest_seq = seq
            elif verdict := judge(metric, seq, event_time):
                if verdict is Verdict.DUPLICATE:
                    device.duplicates += 1
                    return None
                return Refusal(Reason.SEQ_TOO_OLD, "not newer than the last reading, and too old to tell a duplicate")
        window = metric.windows[-1]
        if 0 <= event_time - window.start < self._window_ms:
            add(window, reading.value)
        else:
            add(self._windows.find(metric, event_time), reading.value)
        if event_time >= metric.last_time:
            metric.last_value = reading.value
            metric.last_time = event_time
            metric.last_seq = seq
            if event_time < metric.due:
                return None
            return self._windows.settle(metric, reading.device_id, reading.metric, record.timestamp_ms)
        metric.out_of_order += 1
        device.first_seen = min(device.first_seen, event_time)
        return None

    def _begin(self, device: DeviceRow, reading: ReadingRecord) -> MetricState:
        """A metric before its first reading."""
        window, closes = self._windows.open(reading.event_time)
        metric = MetricState(
            unit=sys.intern(reading.unit),
            settled=empty(),
            windows=[window],
            due=closes,
            oldest_row=-1,
            last_value=0.0,
            last_time=-1,
            last_seq=None,
            greatest_seq=-1,
            missing=NONE_FOLDED,
            out_of_order=0,
            late=0,
            restarts=0,
            too_old=0,
        )
        device.metrics[sys.intern(reading.metric)] = metric
        device.first_seen = min(device.first_seen, reading.event_time)
        return metric

    def _forget(self, key: bytes) -> None:
        device = self._devices.get(key)
        if device is None:
            return
        device_id = key.decode()
        for name, metric in device.metrics.items():
            self._windows.forget(metric, device_id, name)
        self._devices.delete(key)
