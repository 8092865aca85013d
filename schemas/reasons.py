"""Why a record was refused: the closed set of codes, for every stage. The code is the catalogue."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Travels as the header `statelog-reason`. Codes are never renamed: dashboards and tests count by them."""

    NULL_VALUE = "null-value"  # a record without a value, which telemetry never is
    NULL_KEY = "null-key"  # a record without a key cannot be counted to a device
    EMPTY = "empty"  # a value of no bytes
    TOO_LARGE = "too-large"  # more than 64 KiB
    BYTE_ORDER_MARK = "byte-order-mark"  # RFC 8259 forbids to send one
    NOT_UTF8 = "not-utf8"  # another encoding, a compressed body, damage
    NOT_JSON = "not-json"  # not the grammar of RFC 8259 (truncated, NaN where no number belongs), or over 8 levels deep
    LONE_SURROGATE = "lone-surrogate"  # half of a surrogate pair, escaped: JSON by its grammar, but no text
    NOT_AN_OBJECT = "not-an-object"  # JSON, but a list, a string, a number, …
    MISSING_FIELD = "missing-field"  # a required field is absent
    WRONG_TYPE = "wrong-type"  # bool or string for a number, a fraction for a whole number, null for a required field
    OUT_OF_RANGE = "out-of-range"  # a number that is NaN, infinite or beyond its field's bounds
    INVALID_ID = "invalid-id"  # device_id or metric of a forbidden character or length
    INVALID_UNIT = "invalid-unit"  # a unit of no or too many characters, which is no name
    INVALID_TAGS = "invalid-tags"  # too many tags, or one that is too long
    INVALID_TIME = "invalid-time"  # an event_time that is text, but no instant of RFC 3339
    INVALID_ORIGIN = "invalid-origin"  # a reading whose origin is no (topic id, partition, offset)
    NEGATIVE_TIME = "negative-time"  # an event_time before 1970
    FUTURE = "future"  # an event_time more than 5 minutes ahead of the record's Kafka timestamp
    WRONG_KEY = "wrong-key"  # the key is not the device_id
    UNKNOWN_UNIT = "unknown-unit"  # a unit that the registry does not know
    WRONG_PARTITION = "wrong-partition"  # aggregate: the key's murmur2 names another partition
    UNIT_CHANGED = "unit-changed"  # aggregate: a metric's unit is fixed by its first reading
    TOO_MANY_METRICS = "too-many-metrics"  # aggregate: more than 64 metrics of one device
    SEQ_TOO_OLD = "seq-too-old"  # aggregate: not newer than the last, and older than the 64 numbers remembered


class SchemaError(ValueError):
    """Bytes that a schema refuses: a reason to count by, and a detail for the person who mends the sender.

    The detail names fields and rules, never values: what a device sent may be secret, and stays in the dead letter.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
