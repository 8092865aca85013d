"""The stateless operator: telemetry to readings, in canonical units, or refused with a reason."""

from __future__ import annotations

from typing import Final

from operators.api import Output, Record, Refusal
from operators.units import UNITS
from schemas.decoder import Decoder
from schemas.fields import MAX_VALUE
from schemas.reading import Origin, RawRecord, ReadingRecord, encode_reading
from schemas.reasons import Reason, SchemaError
from schemas.telemetry import RawReading

READINGS: Final = "readings"
"""The topic of what is accepted, without the pipeline's prefix."""
MAX_AHEAD_MS: Final = 5 * 60 * 1000
"""How far an event time may be ahead of its record's Kafka timestamp: clocks drift, and the broker's is the judge."""
_LEAST_VALUE: Final = -MAX_VALUE


class Normalise:
    """Implements `operators.api.Transform`. The same record gives the same bytes, whoever transforms it, and when."""

    def __init__(self) -> None:
        self._decoder = Decoder(RawReading, RawRecord)
        self._decode = self._decoder.decode

    @property
    def unknown_fields(self) -> int:
        """How many fields that the schema does not know were passed over, in all."""
        return self._decoder.unknown_fields

    def transform(self, record: Record) -> Output | Refusal:  # noqa: PLR0911 a guard a rule
        key, data = record.key, record.value
        if data is None:
            return Refusal(Reason.NULL_VALUE, "no value; telemetry has no tombstones, send a reading")
        if key is None:
            return Refusal(Reason.NULL_KEY, "no key; send the device_id")
        try:
            raw = self._decode(data)
        except SchemaError as error:
            return Refusal(error.reason, error.detail)
        if raw.device_id.encode() != key:
            return Refusal(Reason.WRONG_KEY, "the key is not the device_id, as UTF-8")
        conversion = UNITS.get(raw.unit)
        if conversion is None:
            return Refusal(Reason.UNKNOWN_UNIT, f"unit: {raw.unit!r} is not in the unit registry; case matters")
        unit, shift, multiplier, divisor = conversion
        value = (raw.value + shift) * multiplier / divisor + 0.0  # Conversion.apply, without the call
        if not _LEAST_VALUE <= value <= MAX_VALUE:
            return Refusal(Reason.OUT_OF_RANGE, f"value: beyond {MAX_VALUE:g} {unit}")
        ahead_ms = raw.event_time - record.timestamp_ms
        if ahead_ms > MAX_AHEAD_MS:
            return Refusal(Reason.FUTURE, f"event_time: {ahead_ms} ms ahead of the record's Kafka timestamp")
        origin = Origin(record.topic_id, record.partition, record.offset)
        reading = ReadingRecord(raw.device_id, raw.metric, value, unit, raw.event_time, raw.seq, raw.tags, origin)
        return Output(READINGS, key, encode_reading(reading), record.timestamp_ms)
