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
from schemas.state import LATEST, DeviceRow, Latest, MetricState, OpenWindow

DEVICE_STATE: Final = "device-state"
DEVICE_WINDOWS: Final = "device-windows"
ORIGINS: Final = "origins"

MAX_METRICS: Final = 64
"""Of one device: a bound on the size of its row."""

pack, unpack = LATEST.pack, LATEST.unpack

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
        self._device = self._devices.get
        self._keep_device = self._devices.put
        self._windows = Windows(
            tables[DEVICE_WINDOWS], window_ms=window_ms, grace_ms=grace_ms, retention_ms=retention_ms
        )
        origins: Table[int] = tables[ORIGINS]
        self._keep_origin = origins.put
        self._origins = Origins(origins)
        self._window_ms = window_ms
        self._context = context

    def fold(  # noqa: PLR0911, PLR0912, PLR0915 one verdict after the other; a call for each would cost as much as the fold
        self, record: Record
    ) -> Sequence[Output] | Refusal | None:
        key = record.key
        data = record.value
        if key is None:
            return Refusal(Reason.NULL_KEY, "the key is the device id")
        if data is None:
            self._forget(key)
            return None
        try:
            reading = skim_reading(data)
        except ValueError:
            reading = _UNREAD
        device = self._device(key)
        metric = None if device is None else device.metrics.get(reading.metric)
        if metric is None or len(data) > MAX_MESSAGE_BYTES:
            # Ids not seen before, or not plainly good: look closely.
            try:
                reading = decode_reading(data)
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
        self._keep_device(key, device)
        origins.folded = origin.offset
        self._keep_origin(origins.key, origin.offset)
        event_time = reading.event_time
        value = reading.value
        seq = -1 if reading.seq is None else reading.seq
        start, count, total, squares, least, greatest, last_time, last_value, last_seq, greatest_seq, missing, due = (
            unpack(metric.latest)
        )
        if seq >= 0:
            if seq - greatest_seq == 1:  # as `judge` has it
                greatest_seq = seq
                if missing:
                    missing = missing << 1 & NONE_FOLDED
            else:
                verdict, greatest_seq, missing = judge(seq, greatest_seq, missing, newer=event_time > last_time)
                if verdict is Verdict.DUPLICATE:
                    device.duplicates += 1
                    return None
                if verdict is Verdict.TOO_OLD:
                    metric.too_old += 1
                    return Refusal(
                        Reason.SEQ_TOO_OLD, "not newer than the last reading, and too old to tell a duplicate"
                    )
                metric.restarts += verdict
        into = event_time - start
        if into >= self._window_ms:
            # A later window opens, and the latest becomes one of the older.
            metric.older.append(OpenWindow(count, total, squares, least, greatest, start))
            start = event_time - event_time % self._window_ms
            count, total, squares, least, greatest = 1, value, 0.0, value, value
        elif into < 0:
            due = self._add_to_older(metric, event_time, value, last_time, due)
        elif count:  # as `statistics.add` has it
            before = count
            count += 1
            total += value
            deviation = count * value - total
            squares += deviation * deviation / (count * before)
            if value < least:
                least = value
            elif value > greatest:
                greatest = value
        else:
            count, total, squares, least, greatest = 1, value, 0.0, value, value
        outputs = None
        if event_time >= last_time:
            last_time, last_value, last_seq = event_time, value, seq
            if event_time >= due:
                outputs, due = self._windows.settle(metric, start, event_time, key, reading.metric, record.timestamp_ms)
        else:
            metric.out_of_order += 1
            device.first_seen = min(device.first_seen, event_time)
        metric.latest = pack(
            start, count, total, squares, least, greatest, last_time, last_value, last_seq, greatest_seq, missing, due
        )
        return outputs

    def _begin(self, device: DeviceRow, reading: ReadingRecord) -> MetricState:
        """A metric before its first reading."""
        start = self._windows.start_of(reading.event_time)
        latest = Latest(start, 0, 0.0, 0.0, 0.0, 0.0, -1, 0.0, -1, -1, NONE_FOLDED, self._windows.closes(start))
        metric = MetricState(sys.intern(reading.unit), pack(*latest), empty(), [])
        device.metrics[sys.intern(reading.metric)] = metric
        device.first_seen = min(device.first_seen, reading.event_time)
        return metric

    def _add_to_older(self, metric: MetricState, event_time: int, value: float, clock: int, due: int) -> int:
        """Add a reading from before the latest window; returns when the metric is due then."""
        window = self._windows.find_older(metric, event_time, clock)
        if window is None:
            metric.late += 1
            add(metric.settled, value)
            return due
        add(window, value)
        return min(due, self._windows.closes(window.start))

    def _forget(self, key: bytes) -> None:
        device = self._devices.get(key)
        if device is None:
            return
        device_id = key.decode()
        for name, metric in device.metrics.items():
            self._windows.forget(metric, device_id, name)
        self._devices.delete(key)
