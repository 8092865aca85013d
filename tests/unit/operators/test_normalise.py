"""The stateless operator: what becomes of one record."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.api import Output, Record, Refusal
from operators.normalise import Normalise
from schemas import Reason
from schemas.reading import decode_reading
from tests.support.poison import KINDS, poison
from tests.unit.schemas.messages import DATA

NOW = 1386018900000
GOOD = {
    "device_id": "press-07",
    "metric": "temperature",
    "value": 212,
    "unit": "degF",
    "event_time": NOW,
    "seq": 17,
    "tags": {"site": "lyon"},
}


def record(value: bytes | None, key: bytes | None = b"press-07") -> Record:
    return Record(key, value, NOW, "Zk1bV7yGQW2kkfI0mO3w5g", 3, 42)


def transform(key: bytes | None = b"press-07", **changes: Any) -> Output | Refusal:
    return Normalise().transform(record(json.dumps({**GOOD, **changes}).encode(), key))


def value_of(output: Output | Refusal) -> float:
    assert isinstance(output, Output), output
    assert output.value is not None
    return decode_reading(output.value).value


def test_a_reading_has_its_canonical_unit_its_origin_and_the_records_timestamp() -> None:
    assert transform() == Output(
        "readings",
        b"press-07",
        b'{"device_id":"press-07","metric":"temperature","value":100.0,"unit":"degC","event_time":1386018900000,'
        b'"seq":17,"tags":{"site":"lyon"},"origin":["Zk1bV7yGQW2kkfI0mO3w5g",3,42]}',
        NOW,
    )


def test_what_may_be_absent_is_null() -> None:
    output = transform(seq=None, tags=None)
    assert isinstance(output, Output)
    assert b'"seq":null,"tags":null' in (output.value or b"")


@pytest.mark.parametrize("value", [1e15, -1e15])
def test_the_limit_of_a_value_is_that_of_the_canonical_unit(value: float) -> None:
    assert value_of(transform(unit="V", value=value)) == value
    assert value_of(transform(unit="mV", value=value * 1000)) == value
    for unit, beyond in (("V", math.nextafter(value, 2 * value)), ("kV", value), ("kV", value * 1e290)):
        refusal = transform(unit=unit, value=beyond)
        assert isinstance(refusal, Refusal)
        assert refusal.reason == Reason.OUT_OF_RANGE


def test_an_event_time_may_be_five_minutes_ahead_of_the_record_and_no_more() -> None:
    assert isinstance(transform(event_time=NOW + 300_000), Output)
    assert isinstance(transform(event_time=0), Output)
    refusal = transform(event_time=NOW + 300_001)
    assert refusal == Refusal(Reason.FUTURE, "event_time: 300001 ms ahead of the record's Kafka timestamp")


def test_an_event_time_may_be_text() -> None:
    assert transform(event_time="2013-12-02T22:15:00+01:00") == transform()


@pytest.mark.parametrize("key", [b"", b"press-08", b"PRESS-07", b"press-07 ", b"\xff"])
def test_another_key_is_refused(key: bytes) -> None:
    refusal = transform(key)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.WRONG_KEY


def test_unknown_fields_are_counted() -> None:
    operator = Normalise()
    operator.transform(record(json.dumps({**GOOD, "firmware": "1.2", "origin": ["x", 0, 0]}).encode()))
    assert operator.unknown_fields == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_a_poison_message_meets_the_contracts_verdict(kind: str, seed: int) -> None:
    message = poison(kind, "press-07", NOW, seed)
    result = Normalise().transform(record(message.value, message.key))
    if message.reason is None:
        assert repr(value_of(result)) == repr(message.value_is)
    else:
        assert isinstance(result, Refusal)
        assert (result.reason, bool(result.detail)) == (message.reason, True)


def test_there_are_24_kinds_of_poison_and_each_is_the_same_from_the_same_seed() -> None:
    assert len(KINDS) == 24
    assert all(poison(kind, "a", NOW, 1) == poison(kind, "a", NOW, 1) for kind in KINDS)


@given(data=DATA, key=st.sampled_from([b"press-07", b"a", b"x", None]))
@settings(max_examples=500, deadline=None)
def test_no_bytes_make_it_raise_and_what_it_sends_can_be_read(data: bytes, key: bytes | None) -> None:
    result = Normalise().transform(record(data, key))
    if isinstance(result, Output):
        reading = decode_reading(result.value or b"")
        assert (reading.device_id.encode(), reading.origin.offset) == (key, 42)
        assert math.copysign(1.0, reading.value) == 1.0 or reading.value < 0
    else:
        assert result.reason in list(Reason)
