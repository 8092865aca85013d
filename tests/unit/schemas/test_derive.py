"""`derive` refuses what it could not carry over faithfully, at import rather than at the first wrong verdict."""

from __future__ import annotations

from typing import Annotated

import msgspec
import pytest
from pydantic import BaseModel, Field

from schemas.derive import derive


class Base(msgspec.Struct):
    name: str


class OtherField(BaseModel):
    title: str


class Exclusive(BaseModel):
    name: Annotated[str, Field(pattern="^a|b$")]


class Stripped(BaseModel):
    name: Annotated[bytes, Field(max_length=3)]


class Nested(BaseModel):
    name: Annotated[str, Field(pattern="^[a]+$")] | None


class Faithful(BaseModel):
    name: Annotated[str, Field(min_length=2, pattern="^[a-c]+$")]


@pytest.mark.parametrize("model", [OtherField, Exclusive, Stripped, Nested])
def test_what_cannot_be_carried_over_is_an_error(model: type[BaseModel]) -> None:
    with pytest.raises(TypeError):
        derive(model, Base, forbid_unknown_fields=True)


def test_a_derived_struct_checks_lengths_and_alphabets() -> None:
    decode = msgspec.json.Decoder(derive(Faithful, Base, forbid_unknown_fields=True)).decode
    assert decode(b'{"name":"abc"}').name == "abc"
    for bad in (b'{"name":"a"}', b'{"name":"abd"}', b'{"name":"ab\\n"}', b'{"name":"ab","x":1}'):
        with pytest.raises(msgspec.ValidationError):
            decode(bad)


def test_more_ids_than_are_remembered_stay_right() -> None:
    struct = derive(Faithful, Base, forbid_unknown_fields=True)
    decode = msgspec.json.Decoder(struct).decode
    for number in range(70_000):
        decode(b'{"name":"%s"}' % f"{number:017b}".replace("0", "a").replace("1", "b").encode())
    with pytest.raises(msgspec.ValidationError):
        decode(b'{"name":"xyz"}')
