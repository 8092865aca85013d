"""Each way to refuse bytes, by name; and what a refusal tells, and does not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import Reason, SchemaError
from schemas.decoder import Decoder
from schemas.fields import MAX_MESSAGE_BYTES
from schemas.reading import RawRecord
from schemas.telemetry import RawReading

GOOD: dict[str, Any] = {"device_id": "a", "metric": "m", "value": 1.5, "unit": "V", "event_time": 7}


def message(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode()


def without(field: str) -> bytes:
    return json.dumps({name: value for name, value in GOOD.items() if name != field}).encode()


def refusal(data: bytes) -> SchemaError:
    with pytest.raises(SchemaError) as caught:
        Decoder(RawReading, RawRecord).decode(data)
    return caught.value


@pytest.mark.parametrize(
    ("reason", "data"),
    [
        (Reason.EMPTY, b""),
        (Reason.NOT_JSON, b" "),
        (Reason.NOT_JSON, b"\x00"),
        (Reason.NOT_JSON, message()[:-1]),
        (Reason.NOT_JSON, message() + b"{}"),
        (Reason.NOT_JSON, b"{'device_id': 'a'}"),
        (Reason.NOT_JSON, message(device_id="?").replace(b"?", b"\x01")),
        (Reason.NOT_JSON, b"[" * 10_000),
        (Reason.NOT_JSON, message(tags=[[[[[[[[]]]]]]]])),
        (Reason.TOO_LARGE, message(note="x" * MAX_MESSAGE_BYTES)),
        (Reason.BYTE_ORDER_MARK, b"\xef\xbb\xbf" + message()),
        (Reason.NOT_UTF8, message(note="?").replace(b"?", b"\xff")),
        (Reason.NOT_UTF8, message(unit="?").replace(b"?", b"\xed\xa0\x80")),
        (Reason.LONE_SURROGATE, message(device_id="\ud800")),
        (Reason.LONE_SURROGATE, message(note="\udc00")),
        (Reason.NOT_AN_OBJECT, b"[]"),
        (Reason.NOT_AN_OBJECT, b"null"),
        (Reason.NOT_AN_OBJECT, b'"a"'),
        *[(Reason.MISSING_FIELD, without(field)) for field in GOOD],
        *[(Reason.WRONG_TYPE, message(**{field: None})) for field in GOOD],
        *[(Reason.WRONG_TYPE, message(**{field: True})) for field in GOOD],
        (Reason.WRONG_TYPE, message(value="1.5")),
        (Reason.WRONG_TYPE, message(seq=1.0)),
        (Reason.WRONG_TYPE, message(event_time=1e12)),
        (Reason.WRONG_TYPE, message(tags=["site"])),
        (Reason.WRONG_TYPE, message(tags={"floor": 3})),
        (Reason.OUT_OF_RANGE, message(value=float("nan"))),
        (Reason.OUT_OF_RANGE, message(value=float("-inf"))),
        (Reason.OUT_OF_RANGE, message(value=10**400)),
        (Reason.OUT_OF_RANGE, message(value="?").replace(b'"?"', b"1e400")),
        (Reason.OUT_OF_RANGE, message(value="?").replace(b'"?"', b"1" * 5000)),
        (Reason.OUT_OF_RANGE, message(seq=-1)),
        (Reason.OUT_OF_RANGE, message(seq=2**53)),
        (Reason.INVALID_ID, message(device_id="")),
        (Reason.INVALID_ID, message(device_id="x" * 65)),
        (Reason.INVALID_ID, message(device_id="a\n")),
        (Reason.INVALID_ID, message(device_id="ä")),
        (Reason.INVALID_ID, message(metric="Temperature")),
        (Reason.INVALID_UNIT, message(unit="")),
        (Reason.INVALID_TAGS, message(tags={str(number): "" for number in range(17)})),
        (Reason.INVALID_TAGS, message(tags={"site": "x" * 257})),
        (Reason.INVALID_TIME, message(event_time="yesterday")),
        (Reason.INVALID_TIME, message(event_time="2024-01-01T00:00:00")),
        (Reason.NEGATIVE_TIME, message(event_time=-1)),
        (Reason.NEGATIVE_TIME, message(event_time="1969-12-31T23:59:59.999Z")),
        (Reason.FUTURE, message(event_time=10**18)),
    ],
)
def test_a_refusal_has_the_reason(reason: Reason, data: bytes) -> None:
    assert refusal(data).reason is reason


def test_a_detail_names_the_field_and_the_rule() -> None:
    assert refusal(message(metric="M", seq=-1)).detail == (
        "metric: string should match pattern '^[a-z0-9_]+$'; seq: input should be greater than or equal to 0"
    )


def test_a_detail_holds_nothing_of_what_was_sent() -> None:
    sent = "hunter2"
    for data in (
        message(device_id=f"{sent}!", metric=f"{sent}!", value=sent),
        message(event_time=sent),
        message(tags={sent: 1}),
        message(note=f"{sent}\udc00"),
        f'{{"{sent}'.encode(),
        sent.encode() + b"\xff",
        json.dumps(sent).encode(),
    ):
        assert sent not in refusal(data).detail


def test_unknown_fields_are_passed_over_and_counted() -> None:
    decoder = Decoder(RawReading, RawRecord)
    assert decoder.decode(message()) == decoder.decode(message(firmware="1.2", note=None))
    assert decoder.unknown_fields == 2
    decoder.decode(message(note="?").replace(b'"?"', b"1e999"))
    assert decoder.unknown_fields == 3


def test_of_a_repeated_field_the_last_counts() -> None:
    data = message(value="?").replace(b'"?"', b'true, "value": 2, "value": 3')
    assert Decoder(RawReading, RawRecord).decode(data).value == 3.0


def test_a_message_of_exactly_the_greatest_size_is_read() -> None:
    data = message()
    data += b" " * (MAX_MESSAGE_BYTES - len(data))
    assert Decoder(RawReading, RawRecord).decode(data).device_id == "a"
    assert refusal(data + b" ").reason is Reason.TOO_LARGE
