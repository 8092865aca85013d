from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.depth import deeper_than

JSON = st.recursive(
    st.one_of(st.none(), st.text(alphabet='[]{}"\\a', max_size=6)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text('[]{}"\\', max_size=3), inner, max_size=3)
    ),
    max_leaves=20,
)


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(value=JSON, levels=st.integers(1, 6))
def test_depth_is_that_of_the_parsed_value(value: object, levels: int) -> None:
    assert deeper_than(json.dumps(value).encode(), levels) is (depth(value) > levels)


@pytest.mark.parametrize(
    "data",
    [
        b'"' + b"[" * 60_000 + b'"',
        b'["' + b"{[" * 30_000 + b'"]',
        b'["\\"' + b"[" * 60_000 + b'"]',
        b"[[],[],[],[],[],[],[],[],[]]",
    ],
)
def test_brackets_in_strings_and_side_by_side_are_not_depth(data: bytes) -> None:
    assert not deeper_than(data, 8)


@pytest.mark.parametrize(
    "hostile",
    [
        b'"\\"' * 20_000,
        b'["' + b'\\"' * 30_000,
        b"[{" * 30_000,
        b"[]" * 30_000,
        b'[]"' * 20_000,
        b"\\" * 60_000 + b"[" * 9,
    ],
)
def test_hostile_bytes_cost_no_more_than_their_length(hostile: bytes) -> None:
    start = time.process_time()
    deeper_than(b"[" * 9 + hostile, 8)
    assert time.process_time() - start < 0.5
