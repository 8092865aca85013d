"""Broken messages of many kinds, each made from a good one, and the reason under which each has to be refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

from schemas.fields import MAX_MESSAGE_BYTES, MAX_SEQ
from schemas.reasons import Reason

Message = tuple[bytes | None, bytes | None]
"""Key and value, as they go to Kafka."""


class Poison(NamedTuple):
    """A way to break a message."""

    kind: str
    reason: Reason
    spoil: Callable[[bytes, dict[str, Any]], Message]
    """From the key and the fields of a good message. The key stays unless the kind is about the key."""


_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _json(fields: object) -> bytes:
    return _ENCODER.encode(fields).encode()


def _with(**changes: object) -> Callable[[bytes, dict[str, Any]], Message]:
    return lambda key, fields: (key, _json({**fields, **changes}))


def _without(name: str) -> Callable[[bytes, dict[str, Any]], Message]:
    return lambda key, fields: (key, _json({field: value for field, value in fields.items() if field != name}))


def _with_literal(name: str, literal: bytes) -> Callable[[bytes, dict[str, Any]], Message]:
    """A field whose value is written in a way that json does not write."""
    return lambda key, fields: (key, _json({**fields, name: "?"}).replace(b'"?"', literal))


_DEEP = b"[" * 1_000 + b"]" * 1_000
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"

POISONS = (
    Poison("null-value", Reason.NULL_VALUE, lambda key, _: (key, None)),
    Poison("empty", Reason.EMPTY, lambda key, _: (key, b"")),
    Poison("null-key", Reason.NULL_KEY, lambda _, fields: (None, _json(fields))),
    Poison("wrong-key", Reason.WRONG_KEY, lambda key, fields: (b"not-" + key, _json(fields))),
    Poison("truncated", Reason.NOT_JSON, lambda key, fields: (key, _json(fields)[:-17])),
    Poison("two-objects", Reason.NOT_JSON, lambda key, fields: (key, _json(fields) * 2)),
    Poison("too-deep", Reason.NOT_JSON, _with_literal("tags", _DEEP)),
    Poison("too-large", Reason.TOO_LARGE, _with(note="x" * MAX_MESSAGE_BYTES)),
    Poison("gzip", Reason.NOT_UTF8, lambda key, fields: (key, _GZIP_HEADER + _json(fields))),
    Poison("latin-1", Reason.NOT_UTF8, _with_literal("tags", '{"site":"malmö"}'.encode("latin-1"))),
    Poison("byte-order-mark", Reason.BYTE_ORDER_MARK, lambda key, fields: (key, b"\xef\xbb\xbf" + _json(fields))),
    Poison("array", Reason.NOT_AN_OBJECT, lambda key, fields: (key, _json(list(fields.values())))),
    Poison("no-device", Reason.MISSING_FIELD, _without("device_id")),
    Poison("no-value", Reason.MISSING_FIELD, _without("value")),
    Poison("bool-value", Reason.WRONG_TYPE, _with(value=True)),
    Poison("text-value", Reason.WRONG_TYPE, _with(value="73.9")),
    Poison("null-metric", Reason.WRONG_TYPE, _with(metric=None)),
    Poison("nan", Reason.OUT_OF_RANGE, _with(value=float("nan"))),
    Poison("infinity", Reason.OUT_OF_RANGE, _with(value=float("-inf"))),
    Poison("number-beyond-doubles", Reason.OUT_OF_RANGE, _with_literal("value", b"1" + b"0" * 400)),
    Poison("absurd-value", Reason.OUT_OF_RANGE, _with(value=1e300)),
    Poison("seq-too-great", Reason.OUT_OF_RANGE, _with(seq=MAX_SEQ + 1)),
    Poison("control-in-id", Reason.INVALID_ID, _with(device_id="press\r\n\x1b[31m")),
    Poison("long-id", Reason.INVALID_ID, _with(device_id="p" * 65)),
    Poison("capital-metric", Reason.INVALID_ID, _with(metric="Temperature")),
    Poison("surrogate-in-id", Reason.LONE_SURROGATE, _with_literal("device_id", b'"press-\\ud800"')),
    Poison("too-many-tags", Reason.INVALID_TAGS, _with(tags={f"tag-{number}": "" for number in range(17)})),
    Poison("unknown-unit", Reason.UNKNOWN_UNIT, _with(unit="flurb")),
    Poison("negative-time", Reason.NEGATIVE_TIME, _with(event_time=-1)),
    Poison("future", Reason.FUTURE, _with(event_time=4_102_444_800_000)),
    Poison("time-in-words", Reason.INVALID_TIME, _with(event_time="yesterday")),
)


def spoil(poison: Poison, key: bytes, value: bytes) -> Message:
    """The message broken in this way."""
    return poison.spoil(key, json.loads(value))
