"""A sealed value comes back whole, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StateUnusable
from pipeline.state.envelope import VERSION, damaged_key, seal, unseal


@given(st.binary(max_size=300))
def test_what_is_sealed_comes_back(payload: bytes) -> None:
    assert unseal(seal(payload)) == payload
    assert seal(payload) == seal(bytes(payload))


@given(st.binary(max_size=300), st.data())
def test_no_flipped_bit_and_no_cut_goes_unseen(payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(seal(payload))
    where = data.draw(st.integers(0, len(sealed) - 1))
    if data.draw(st.booleans()):
        sealed[where] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del sealed[where:]
    with pytest.raises(StateUnusable):
        unseal(bytes(sealed))


@given(st.binary(max_size=40))
def test_other_bytes_are_refused_by_an_error_that_is_ours(data: bytes) -> None:
    try:
        payload = unseal(data)
    except StateUnusable:
        return
    assert seal(payload) == data


def test_the_bytes_are_the_contracts() -> None:
    assert seal(b"123456789") == bytes([VERSION]) + bytes.fromhex("cbf43926") + b"123456789"


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "cut short"),
        (b"\x01ab", "cut short"),
        (b"\x02" + seal(b"x")[1:], "version 2"),
        (seal(b"x") + b"y", "checksum"),
    ],
)
def test_it_says_what_is_wrong(data: bytes, told: str) -> None:
    with pytest.raises(StateUnusable, match=told):
        unseal(data)


def _refused(data: bytes) -> bool:
    try:
        unseal(data)
    except StateUnusable:
        return True
    return False


@given(st.dictionaries(st.binary(max_size=3), st.none() | st.binary(max_size=12) | st.binary(max_size=12).map(seal)))
def test_of_many_rows_the_first_is_named_that_alone_would_be_refused(rows: dict[bytes, bytes | None]) -> None:
    refused = [key for key, data in rows.items() if data is not None and _refused(data)]
    assert damaged_key(rows) == (refused[0] if refused else None)
