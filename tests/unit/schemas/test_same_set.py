"""Differential: the derived Structs and the pydantic models accept the same bytes, and read the same from them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from pydantic import BaseModel
from pydantic_core import from_json, to_json

from schemas.decoder import Decoder
from schemas.derive import derive
from schemas.fields import MAX_DEPTH, MAX_MESSAGE_BYTES
from schemas.reading import RawRecord, ReadingRecord
from schemas.reasons import SchemaError
from schemas.telemetry import RawReading, Reading
from tests.unit.schemas.messages import DATA

MODELS: dict[type[BaseModel], type[msgspec.Struct]] = {RawReading: RawRecord, Reading: ReadingRecord}
BOTH = pytest.mark.parametrize("model", list(MODELS))
STRICT = {
    model: msgspec.json.Decoder(derive(model, record, forbid_unknown_fields=True)).decode
    for model, record in MODELS.items()
}
DECODERS = {model: Decoder(model, record) for model, record in MODELS.items()}


def repeats(data: bytes) -> bool:
    """Whether an object has a field twice."""
    found = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in pairs}) < len(pairs)

    try:
        json.loads(data, object_pairs_hook=look, parse_int=str)
    except (ValueError, RecursionError):
        return False
    return found


def by_pydantic(model: type[BaseModel], data: bytes) -> dict[str, Any] | None:
    """What the model makes of the data; of a repeated field, only the last counts."""
    try:
        last = to_json(from_json(data), inf_nan_mode="constants") if repeats(data) else data
        return model.model_validate_json(last).model_dump()
    except ValueError:
        return None


def as_dict(record: msgspec.Struct) -> dict[str, Any]:
    """Exact: repr tells 1.0 from 1, and 0.0 from -0.0."""
    values = msgspec.structs.asdict(record)
    if "origin" in values:
        values["origin"] = msgspec.structs.astuple(values["origin"])
    return values


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


def within_caps(data: bytes) -> bool:
    try:
        return len(data) <= MAX_MESSAGE_BYTES and depth(json.loads(data)) <= MAX_DEPTH
    except (ValueError, RecursionError):
        return True  # a number of thousands of digits, or no JSON: nothing that the caps have to judge


@BOTH
@given(data=DATA)
@settings(max_examples=250, deadline=None)
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":NaN}')
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":1e999}')
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":"\\ud800"}')
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":"\xff"}')
@example(data=b'{"device_id":7,"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1}')
@example(data=b'{"device_id":"a\\n","metric":"m","value":1,"unit":"V","event_time":1}')
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":[[[[[[[[]]]]]]]]}')
@example(data=b'{"device_id":"a","metric":"m","value":1,"unit":"V","event_time":1,"x":[[[[[[[]]]]]]]}')
def test_a_decoder_accepts_what_its_model_accepts_and_reads_the_same(model: type[BaseModel], data: bytes) -> None:
    expected = by_pydantic(model, data) if within_caps(data) else None
    try:
        decoded = as_dict(DECODERS[model].decode(data))
    except SchemaError:
        decoded = None
    assert repr(decoded) == repr(expected)


@BOTH
@given(data=DATA)
@settings(max_examples=250, deadline=None)
def test_the_fast_path_accepts_nothing_that_the_model_refuses(model: type[BaseModel], data: bytes) -> None:
    try:
        decoded = as_dict(STRICT[model](data))
    except ValueError:
        return
    assert repr(decoded) == repr(by_pydantic(model, data))


@BOTH
@given(data=DATA)
@settings(max_examples=250, deadline=None)
def test_the_fast_path_refuses_only_what_the_model_refuses_or_has_unknown_or_repeated_fields(
    model: type[BaseModel], data: bytes
) -> None:
    expected = by_pydantic(model, data)
    if expected is None:
        return
    if repeats(data) or from_json(data).keys() - model.model_fields:
        return
    assert repr(as_dict(STRICT[model](data))) == repr(expected)
