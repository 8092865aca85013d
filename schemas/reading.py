"""The hot path's readings: msgspec Structs derived from the models, and their bytes."""

from __future__ import annotations

import msgspec

from schemas.decoder import Decoder
from schemas.telemetry import Reading


class Comparable(msgspec.Struct, eq=False, gc=False):
    """Equal by fields, so that a decoded record, of a derived class, equals one made by hand."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, msgspec.Struct):
            return NotImplemented
        return msgspec.structs.astuple(self) == msgspec.structs.astuple(other)


class RawRecord(Comparable, gc=False):
    """A `RawReading`, decoded."""

    device_id: str
    metric: str
    value: float
    unit: str
    event_time: int
    """Milliseconds since the epoch."""
    seq: int | None = None
    tags: dict[str, str] | None = None


class Origin(Comparable, array_like=True, gc=False):
    """The telemetry record that a reading was made from."""

    topic_id: str
    partition: int
    offset: int


class ReadingRecord(Comparable, gc=False):
    """A `Reading`, decoded."""

    device_id: str
    metric: str
    value: float
    """In the canonical unit."""
    unit: str
    event_time: int
    """Milliseconds since the epoch."""
    seq: int | None
    tags: dict[str, str] | None
    origin: Origin


_readings = Decoder(Reading, ReadingRecord)

decode_reading = _readings.decode
"""From the bytes of a `readings` record; raises `SchemaError`, with `reason` and `detail`, and nothing else."""

skim_reading = _readings.skim
"""As `decode_reading`, faster, for ids that are known; see `Decoder.skim`."""

encode_raw = msgspec.json.Encoder().encode
"""A `RawRecord` as the bytes of a `telemetry` record."""

encode_reading = msgspec.json.Encoder().encode
"""A `ReadingRecord` as the bytes of a `readings` record: equal readings give equal bytes."""
